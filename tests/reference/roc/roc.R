# Writes roc.csv (name,value) for tests/common/stats. R 4.2.2, pROC 1.18.0: Rscript roc.R
# asah.csv is pROC's own data set aSAH (Turck N et al., Intensive Care Med 2010;36:107-115).
suppressMessages(library(pROC))
a <- read.csv("asah.csv")
y <- as.integer(a$outcome == "Poor")
out <- c()
put <- function(name, value) out <<- c(out, sprintf("%s,%.17g", name, value))
rocs <- lapply(c(s100b = "s100b", ndka = "ndka", wfns = "wfns"),
               function(v) roc(y, a[[v]], levels = c(0, 1), direction = "<"))
for (v in names(rocs)) {
  r <- rocs[[v]]
  put(paste0(v, ".auc"), as.numeric(auc(r)))
  put(paste0(v, ".variance"), var(r, method = "delong"))
  ci <- ci.auc(r, method = "delong")
  put(paste0(v, ".delong.low"), ci[1])
  put(paste0(v, ".delong.high"), ci[3])
}
for (pair in list(c("s100b", "ndka"), c("s100b", "wfns"), c("ndka", "wfns"))) {
  t <- roc.test(rocs[[pair[1]]], rocs[[pair[2]]], method = "delong", paired = TRUE)
  key <- paste(pair, collapse = ".")
  put(paste0(key, ".z"), as.numeric(t$statistic))
  put(paste0(key, ".p"), t$p.value)
  put(paste0(key, ".covariance"), cov(rocs[[pair[1]]], rocs[[pair[2]]], method = "delong"))
}
for (case in list(c(15, 80), c(0, 20), c(20, 20), c(51, 219))) {
  b <- binom.test(case[1], case[2])$conf.int
  w <- prop.test(case[1], case[2], correct = FALSE)$conf.int
  key <- paste0("proportion.", case[1], ".", case[2])
  put(paste0(key, ".exact.low"), b[1]); put(paste0(key, ".exact.high"), b[2])
  put(paste0(key, ".wilson.low"), w[1]); put(paste0(key, ".wilson.high"), w[2])
}
odd <- seq_along(y) %% 2 == 1
halves <- lapply(list(odd, !odd), function(h) roc(y[h], a$s100b[h], levels = c(0, 1), direction = "<"))
put("odd.even.z", as.numeric(roc.test(halves[[1]], halves[[2]], method = "delong", paired = FALSE)$statistic))
# The pointwise band of s100b's curve at some thresholds: prop.test is Wilson's interval.
for (threshold in c(0.1, 0.2, 0.3, 0.5)) {
  hits <- sum(a$s100b[y == 1] >= threshold)
  w <- prop.test(hits, sum(y), correct = FALSE)$conf.int
  put(sprintf("band.%.1f.low", threshold), w[1])
  put(sprintf("band.%.1f.high", threshold), w[2])
}
# delong1988.csv: the 43 complete patients of DeLong et al., Biometrics 1988;44:837-845, as SAS/STAT's manual has
# them (PROC LOGISTIC, "Comparing Receiver Operating Characteristic Curves"); a low K-G score is good.
d <- read.csv("delong1988.csv")
d$kg <- 10 - d$kg
names <- c("albumin", "protein", "kg")
rocs <- lapply(names, function(v) roc(d$benefit, d[[v]], levels = c(0, 1), direction = "<"))
area <- sapply(rocs, function(r) as.numeric(auc(r)))
covariance <- outer(1:3, 1:3, Vectorize(function(i, j)
  if (i == j) var(rocs[[i]], method = "delong") else cov(rocs[[i]], rocs[[j]], method = "delong")))
for (i in 1:3) {
  put(paste0("delong1988.", names[i], ".auc"), area[i])
  put(paste0("delong1988.", names[i], ".se"), sqrt(covariance[i, i]))
}
contrast <- rbind(c(1, 0, -1), c(0, 1, -1))
chi <- t(contrast %*% area) %*% solve(contrast %*% covariance %*% t(contrast)) %*% (contrast %*% area)
put("delong1988.chi", chi); put("delong1988.p", pchisq(chi, 2, lower.tail = FALSE))
writeLines(c("name,value", out), "roc.csv")
