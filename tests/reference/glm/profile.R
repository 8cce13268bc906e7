# Writes endometrial.csv (brglm2's data; Heinze & Schemper 2002) and profile.csv (name,value) for tests/common/stats.
# R 4.2.2, brglm2 0.9: Rscript profile.R
# logistf is not packaged for this R, so its formulas stand here: the penalised likelihood keeps the information of
# all columns while one coefficient is fixed (Heinze & Schemper, Stat Med 2002;21:2409-2419); a limit is where its
# maximum falls by qchisq(.95, 1) / 2, found by bisection here and not by logistf's iteration. Estimates and their
# standard errors are checked against brglm2 (AS_mean, which is Firth's method in logistic regression) where its
# iteration ends, which it does not for complete separation by a number.
suppressMessages(library(brglm2))
out <- c()
put <- function(name, value) out <<- c(out, sprintf("%s,%.17g", name, value))

penalised <- function(beta, x, y) {
  eta <- drop(x %*% beta); p <- plogis(eta)
  information <- crossprod(x * (p * (1 - p)), x)
  sum(y * plogis(eta, log.p = TRUE) + (1 - y) * plogis(-eta, log.p = TRUE)) + determinant(information)$modulus[1] / 2
}
# Modified scores (Heinze & Schemper, equation 2) with step halving; columns that are not free keep their value
maximise <- function(x, y, beta, free) {
  value <- penalised(beta, x, y)
  for (round in 1:2000) {
    p <- plogis(drop(x %*% beta)); w <- p * (1 - p)
    information <- crossprod(x * w, x)
    h <- rowSums((x %*% solve(information)) * x) * w
    score <- crossprod(x, y - p + h * (0.5 - p))[free]
    step <- rep(0, length(beta)); step[free] <- solve(information[free, free, drop = FALSE], score) / 2
    if (sum(abs(score)) < 1e-11 && round > 1) break
    repeat {
      trial <- penalised(beta + step, x, y)
      if (is.finite(trial) && trial >= value - 1e-13) break
      step <- step / 2
    }
    beta <- beta + step; value <- trial
  }
  list(beta = beta, value = value)
}
limit <- function(x, y, best, j, side, step) {
  target <- best$value - qchisq(0.95, 1) / 2
  free <- setdiff(seq_along(best$beta), j)
  near <- best
  at <- function(b) { beta <- near$beta; beta[j] <- b; maximise(x, y, beta, free) }
  repeat {
    far <- at(near$beta[j] + side * step)
    if (far$value < target) break
    near <- far
  }
  uniroot(function(b) at(b)$value - target, sort(c(near$beta[j], far$beta[j])), tol = 1e-12)$root
}
report <- function(key, formula, d, check = TRUE) {
  x <- model.matrix(formula, d); y <- model.response(model.frame(formula, d))
  best <- maximise(x, y, rep(0, ncol(x)), seq_len(ncol(x)))
  p <- plogis(drop(x %*% best$beta))
  errors <- sqrt(diag(solve(crossprod(x * (p * (1 - p)), x))))
  if (check) {
    m <- glm(formula, binomial, d, method = "brglmFit", type = "AS_mean", start = rep(0, ncol(x)),
             control = brglmControl(epsilon = 1e-10, maxit = 10000, slowit = 0.5))
    stopifnot(m$converged, max(abs(best$beta - coef(m))) < 1e-6, max(abs(errors / summary(m)$coefficients[, 2] - 1)) < 1e-6)
  }
  put(paste0(key, ".ll"), best$value)
  for (j in 2:ncol(x)) {
    name <- paste(key, colnames(x)[j], sep = ".")
    without <- best$beta; without[j] <- 0
    ratio <- 2 * (best$value - maximise(x, y, without, setdiff(seq_along(without), j))$value)
    put(paste0(name, ".beta"), best$beta[j]); put(paste0(name, ".se"), errors[j])
    put(paste0(name, ".p"), pchisq(ratio, 1, lower.tail = FALSE))
    step <- errors[j] / 2
    put(paste0(name, ".low"), limit(x, y, best, j, -1, step)); put(paste0(name, ".high"), limit(x, y, best, j, 1, step))
  }
}

data(endometrial)
write.csv(endometrial, "endometrial.csv", row.names = FALSE, quote = FALSE)
report("endometrial", HG ~ NV + PI + EH, endometrial)

b <- read.csv("../tables/birthwt.csv")
b$sign <- as.integer(b$low == 0 & b$age > 30)
b$race <- factor(b$race)
report("sign", low ~ sign + lwt, b)
report("race", low ~ sign + race + smoke, b)
# Exactly one exposed patient, with and without the outcome
for (case in 0:1) {
  b$lone <- 0L; b$lone[which(b$low == case)[5]] <- 1L
  report(paste0("lone", case), low ~ lone, b)
  report(paste0("lone", case, ".adjusted"), low ~ lone + lwt + smoke, b)
}
# Separated by a number
report("ordered", above ~ z, transform(b, above = as.integer(lwt > 130), z = (lwt - 130) / 10), check = FALSE)
writeLines(c("name,value", out), "profile.csv")
