# Writes meta.csv (name,value) for tests/common/stats. R 4.2.2, metafor: Rscript meta.R
suppressMessages(library(metafor))
auc <- c(0.78, 0.71, 0.83, 0.66, 0.75, 0.80, 0.58); v <- c(0.0009, 0.0016, 0.0012, 0.0025, 0.0006, 0.003, 0.002)
yi <- qlogis(auc); vi <- v / (auc * (1 - auc))^2
m <- rma(yi, vi, method = "DL", test = "knha")
p <- predict(m, pi.type = "Riley")
out <- c()
put <- function(name, value) out <<- c(out, sprintf("%s,%.17g", name, as.numeric(value)))
put("auc", plogis(m$beta)); put("low", plogis(m$ci.lb)); put("high", plogis(m$ci.ub))
put("q", m$QE); put("p", m$QEp); put("tau_squared", m$tau2); put("i_squared", m$I2 / 100); put("se", m$se)
k <- length(auc); h <- qt(0.975, k - 2) * sqrt(m$tau2 + m$se^2)
put("prediction.low", plogis(m$beta - h)); put("prediction.high", plogis(m$beta + h))
writeLines(c("name,value", out), "meta.csv")
