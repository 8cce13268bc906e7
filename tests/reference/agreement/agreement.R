# Writes agreement.csv (name,value) for tests/common/stats. R 4.2.2, psych, vcd: Rscript agreement.R
suppressMessages({library(psych); library(vcd)})
out <- c()
put <- function(name, value) out <<- c(out, sprintf("%s,%.17g", name, value))
# Shrout and Fleiss 1979, Table 2
sf <- matrix(c(9,2,5,8, 6,1,3,2, 8,4,6,8, 7,1,2,6, 10,5,6,9, 6,2,4,7), ncol = 4, byrow = TRUE)
r <- ICC(sf, lmer = FALSE)$results
for (i in 1:6) { put(paste0(r$type[i], ".value"), r$ICC[i]); put(paste0(r$type[i], ".low"), r$`lower bound`[i]); put(paste0(r$type[i], ".high"), r$`upper bound`[i]) }
t <- matrix(c(22,2,2,0, 5,7,14,0, 0,2,36,0, 0,1,17,10), 4, byrow = TRUE)
for (w in c("Equal-Spacing", "Fleiss-Cohen")) {
  k <- Kappa(t, weights = w)
  ci <- confint(k)
  put(paste0(w, ".value"), k$Weighted[1]); put(paste0(w, ".low"), ci[2, 1]); put(paste0(w, ".high"), ci[2, 2])
}
put("unweighted.value", k$Unweighted[1]); put("unweighted.low", ci[1, 1]); put("unweighted.high", ci[1, 2])
writeLines(c("name,value", out), "agreement.csv")
