# Writes centres.csv (name,value) for tests/common/stats. R 4.2.2, pROC 1.18.0: Rscript centres.R
# Two groups of patients (../roc/asah.csv) compared by pROC, and by published formulas where an AUC is 1:
# Newcombe RG. Stat Med 2006;25:559-573, method 5; Zou GY, Donner A. Stat Med 2008;27:1693-1702.
suppressMessages(library(pROC))
a <- read.csv("../roc/asah.csv")
y <- as.integer(a$outcome == "Poor")
out <- c()
put <- function(name, value) out <<- c(out, sprintf("%s,%.17g", name, as.numeric(value)))
odd <- seq_along(y) %% 2 == 1
halves <- lapply(list(odd, !odd), function(h) roc(y[h], a$s100b[h], levels = c(0, 1), direction = "<"))
areas <- sapply(halves, function(r) as.numeric(auc(r)))
variances <- sapply(halves, function(r) var(r, method = "delong"))
test <- roc.test(halves[[1]], halves[[2]], method = "delong", paired = FALSE)
z <- as.numeric(test$statistic)
put("odd.auc", areas[1]); put("even.auc", areas[2]); put("z", z)
put("p", 2 * pnorm(-abs(z)))   # pROC refers z to Student's t with Satterthwaite's degrees of freedom
half <- qnorm(0.975) * sqrt(sum(variances))
put("low", areas[1] - areas[2] - half); put("high", areas[1] - areas[2] + half)
variance <- function(t, m, n) {
  N <- (m + n) / 2
  t * (1 - t) * (1 + (N - 1) * ((1 - t) / (2 - t) + t / (1 + t))) / (m * n)
}
limit <- function(z, m, n)   # of an AUC of 1
  uniroot(function(t) (1 - t) / sqrt(variance(t, m, n)) - z, c(1e-9, 1 - 1e-13), tol = 1e-15)$root
for (size in list(c(12, 22), c(5, 5), c(40, 80)))
  put(paste0("limit.", size[1], ".", size[2]), limit(qnorm(0.975), size[1], size[2]))
# An AUC of 1 among 12 and 22 patients, less that of the odd patients.
d <- 1 - areas[1]; s <- sqrt(variances[1])
put("perfect.low", d - sqrt((1 - limit(qnorm(0.975), 12, 22))^2 + (qnorm(0.975) * s)^2))
put("perfect.high", d + qnorm(0.975) * s)
touching <- uniroot(function(z) sqrt((1 - limit(z, 12, 22))^2 + (z * s)^2) - d, c(0.01, 10), tol = 1e-14)$root
put("perfect.z", touching); put("perfect.p", 2 * pnorm(-touching))
writeLines(c("name,value", out), "centres.csv")
