# Writes meta.csv (name,value) for tests/common/stats. R 4.2.2, metafor 3.8: Rscript meta.R
# test = "adhoc" is Hartung and Knapp's with the scale not below 1.
suppressMessages(library(metafor))
cases <- list(
  seven = list(auc = c(0.78, 0.71, 0.83, 0.66, 0.75, 0.80, 0.58),
               v = c(0.0009, 0.0016, 0.0012, 0.0025, 0.0006, 0.003, 0.002)),
  equal = list(auc = c(0.80, 0.80, 0.80), v = c(0.0025, 0.0016, 0.004)),
  near = list(auc = c(0.79, 0.80, 0.82, 0.805), v = c(0.0025, 0.0016, 0.004, 0.0009)),
  apart = list(auc = c(0.95, 0.60, 0.72), v = c(0.0008, 0.0036, 0.0021)))
out <- c()
put <- function(name, value) out <<- c(out, sprintf("%s,%.17g", name, as.numeric(value)))
for (case in names(cases)) {
  auc <- cases[[case]]$auc; v <- cases[[case]]$v
  m <- rma(qlogis(auc), v / (auc * (1 - auc))^2, method = "DL", test = "adhoc")
  save <- function(name, value) put(paste0(case, ".", name), value)
  save("auc", plogis(m$beta)); save("low", plogis(m$ci.lb)); save("high", plogis(m$ci.ub))
  save("q", m$QE); save("p", m$QEp); save("tau_squared", m$tau2); save("i_squared", m$I2 / 100)
  h <- qt(0.975, length(auc) - 2) * sqrt(m$tau2 + m$se^2)
  save("prediction.low", plogis(m$beta - h)); save("prediction.high", plogis(m$beta + h))
}
writeLines(c("name,value", out), "meta.csv")
