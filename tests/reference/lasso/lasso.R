# Writes birth.csv (the data with folds) and lasso.csv (name,value) for tests/common/stats.
# R 4.2.2, glmnet 4.1-6, MASS 7.3 (birthwt): Rscript lasso.R
# The binomial LASSO on globally z-scored features, without glmnet's own standardisation or early stop.
suppressMessages({ library(glmnet); library(MASS) })
glmnet.control(fdev = 0, devmax = 1, eps = 1e-10, mnlam = 100)
d <- birthwt
x <- cbind(age = d$age, lwt = d$lwt, black = d$race == 2, other = d$race == 3, smoke = d$smoke, ptl = d$ptl,
           ht = d$ht, ui = d$ui, ftv = d$ftv, noise = (seq_along(d$low) * 7919) %% 101,
           more_noise = (seq_along(d$low) * 104729) %% 97) * 1
y <- d$low
fold <- (seq_along(y) * 7) %% 5
write.csv(data.frame(x, low = y, fold = fold), "birth.csv", row.names = FALSE)
z <- apply(x, 2, function(v) (v - mean(v)) / sqrt(mean((v - mean(v))^2)))
largest <- max(abs(crossprod(z, y - mean(y)))) / length(y)
lambda <- largest * 10^seq(0, -3, length.out = 100)
cv <- cv.glmnet(z, y, family = "binomial", standardize = FALSE, lambda = lambda, foldid = fold + 1,
                thresh = 1e-14, maxit = 1e7, type.measure = "deviance")
out <- c()
put <- function(name, value) out <<- c(out, sprintf("%s,%.17g", name, value))
put("lambda.max", largest)
put("lambda.min", cv$lambda.min)
put("lambda.1se", cv$lambda.1se)
for (k in seq_along(lambda)) {
  put(paste0("deviance.", k - 1), cv$cvm[k])
  put(paste0("error.", k - 1), cv$cvsd[k])
}
for (rule in c("lambda.min", "lambda.1se")) {
  b <- as.numeric(coef(cv, s = rule, exact = FALSE))
  for (j in seq_along(b)) put(paste0(rule, ".beta.", j - 1), b[j])
}
b <- as.matrix(coef(cv$glmnet.fit))
for (k in c(10, 30, 60, 100)) for (j in seq_len(nrow(b))) put(sprintf("path.%d.%d", k - 1, j - 1), b[j, k])
writeLines(c("name,value", out), "lasso.csv")
