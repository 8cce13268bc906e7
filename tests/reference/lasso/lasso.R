# Writes birth.csv and large.csv (the data with folds) and lasso.csv (name,value) for tests/common.
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
standardise <- function(x) apply(x, 2, function(v) (v - mean(v)) / sqrt(mean((v - mean(v))^2)))
out <- c()
put <- function(name, value) out <<- c(out, sprintf("%s,%.17g", name, value))
put_path <- function(x, y, fold, prefix, thresh) {
  z <- standardise(x)
  largest <- max(abs(crossprod(z, y - mean(y)))) / length(y)
  lambda <- largest * 10^seq(0, -3, length.out = 100)
  cv <- cv.glmnet(z, y, family = "binomial", standardize = FALSE, lambda = lambda, foldid = fold + 1,
                  thresh = thresh, maxit = 1e8, type.measure = "deviance")
  put(paste0(prefix, "lambda.max"), largest)
  put(paste0(prefix, "lambda.min"), cv$lambda.min)
  put(paste0(prefix, "lambda.1se"), cv$lambda.1se)
  for (k in seq_along(lambda)) {
    put(paste0(prefix, "deviance.", k - 1), cv$cvm[k])
    put(paste0(prefix, "error.", k - 1), cv$cvsd[k])
  }
  for (rule in c("lambda.min", "lambda.1se")) {
    b <- as.numeric(coef(cv, s = rule, exact = FALSE))
    for (j in seq_along(b)) put(paste0(prefix, rule, ".beta.", j - 1), b[j])
  }
  b <- as.matrix(coef(cv$glmnet.fit))
  for (k in c(10, 30, 60, 100)) {
    for (j in seq_len(nrow(b))) put(sprintf("%spath.%d.%d", prefix, k - 1, j - 1), b[j, k])
  }
}
put_path(x, y, fold, "", 1e-14)
# Forty features of eight sources, as radiomics repeat each other, with means of up to 10^9 and SDs near 1.
set.seed(10)
n <- 120
sources <- matrix(rnorm(n * 8), n)
x <- sources %*% matrix(rnorm(8 * 40), 8)
x <- sweep(x, 2, apply(x, 2, sd), "/") + 0.4 * matrix(rnorm(n * 40), n)
x <- round(sweep(x, 2, rep(c(0, 1e6, 1e8, 1e9, -1e9), 8), "+"), 6)
y <- as.integer(sources[, 1] - sources[, 2] + rlogis(n) > 0.4)
fold <- (seq_len(n) * 7) %% 5
large <- data.frame(apply(x, 2, function(v) sprintf("%.17g", v)), grows = y, fold = fold)
write.csv(large, "large.csv", row.names = FALSE, quote = FALSE)
put_path(x, y, fold, "large.", 1e-22)
writeLines(c("name,value", out), "lasso.csv")
