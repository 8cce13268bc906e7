# Writes tables.csv (name,value) and birthwt.csv (MASS; Hosmer and Lemeshow 1989) for tests/common/stats. R 4.2.2, MASS: Rscript tables.R
suppressMessages(library(MASS))
b <- birthwt
write.csv(b[, c("low", "age", "lwt", "race", "smoke", "ptl", "ht", "ui", "ftv", "bwt")], "birthwt.csv", row.names = FALSE)
out <- c()
put <- function(name, value) out <<- c(out, sprintf("%s,%.17g", name, value))
for (v in c("age", "lwt", "bwt")) {
  one <- b[[v]][b$low == 1]; zero <- b[[v]][b$low == 0]
  s <- t.test(one, zero, var.equal = TRUE); w <- t.test(one, zero)
  put(paste0(v, ".student.t"), s$statistic); put(paste0(v, ".student.p"), s$p.value)
  put(paste0(v, ".welch.t"), w$statistic); put(paste0(v, ".welch.df"), w$parameter); put(paste0(v, ".welch.p"), w$p.value)
  u <- suppressWarnings(wilcox.test(one, zero, exact = FALSE, correct = FALSE))
  c1 <- suppressWarnings(wilcox.test(one, zero, exact = FALSE, correct = TRUE))
  put(paste0(v, ".mwu.u"), u$statistic); put(paste0(v, ".mwu.p"), u$p.value); put(paste0(v, ".mwu.corrected"), c1$p.value)
  for (t in c(6, 7)) for (p in c(0.25, 0.5, 0.75))
    put(paste0(v, ".quantile", t, ".", p), quantile(one, p, type = t))
}
for (v in c("race", "smoke", "ht", "ui")) {
  t <- table(b[[v]], b$low)
  put(paste0(v, ".pearson"), suppressWarnings(chisq.test(t, correct = FALSE))$p.value)
  if (nrow(t) == 2) {
    put(paste0(v, ".yates"), suppressWarnings(chisq.test(t, correct = TRUE))$p.value)
    put(paste0(v, ".fisher"), fisher.test(t)$p.value)
  }
}
writeLines(c("name,value", out), "tables.csv")
