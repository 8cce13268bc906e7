# Writes fleiss.csv (table,name,value) for tests/common/stats/test_fleiss.py. Base R 4.2.2: Rscript fleiss.R
# irr is not packaged for this R: the two formulas are those of irr 0.84.1's kappam.fleiss (value, z, p), copied
# term by term; the linearised standard error is that of irrCAC's fleiss.kappa.raw (Gwet 2008), patient by patient.
out <- "table,name,value"
fleiss <- function(name, votes) {
  n <- nrow(votes); r <- sum(votes[1, ])
  agree <- (sum(votes^2) - n * r) / (n * r * (r - 1))
  p <- colSums(votes) / (n * r); q <- 1 - p
  chance <- sum(p^2)
  kappa <- (agree - chance) / (1 - chance)
  variance <- (2 / (sum(p * q)^2 * (n * r * (r - 1)))) * (sum(p * q)^2 - sum(p * q * (q - p)))
  error <- sqrt(variance)
  pa_i <- (rowSums(votes^2) - r) / (r * (r - 1))
  pe_i <- as.vector(votes %*% p) / r
  kappa_i <- (pa_i - chance) / (1 - chance) - 2 * (1 - kappa) * (pe_i - chance) / (1 - chance)
  linear <- sqrt(sum((kappa_i - kappa)^2) / (n * (n - 1)))
  value <- c(kappa = kappa, null_error = error, z = kappa / error, p = 2 * pnorm(-abs(kappa / error)),
             error = linear)
  for (k in names(value)) out <<- c(out, sprintf("%s,%s,%.17g", name, k, value[[k]]))
}
read <- function(path) as.matrix(read.csv(path, header = FALSE))
fleiss("fleiss1971", read("fleiss1971.csv"))
set.seed(3)
three <- t(sapply(1:60, function(i) { yes <- rbinom(1, 3, c(.08, .9)[1 + (i %% 3 == 0)]); c(3 - yes, yes) }))
write.table(three, "three_readers.csv", sep = ",", row.names = FALSE, col.names = FALSE)
fleiss("three_readers", three)
writeLines(out, "fleiss.csv")
