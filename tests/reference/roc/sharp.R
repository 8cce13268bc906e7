# Writes sharp_expected.csv for tests/simulations/studies/test_sharp_scores.py. R 4.2.2, pROC 1.18.0: Rscript sharp.R
# sharp.csv: three made-up hospitals of 70 patients; flat, usual, sharp and tiny_risks are monotone transforms of one
# another, other_tiny is another score with risks near 1e-5.
suppressMessages(library(pROC))
d <- read.csv("sharp.csv")
lines <- c("cohort,score,auc,low,high,difference,p")
for (cohort in c("a", "b", "c", "all")) {
  h <- if (cohort == "all") d else d[d$site == cohort, ]
  reference <- roc(h$y, h$usual, levels = c(0, 1), direction = "<")
  for (score in c("flat", "usual", "sharp", "tiny_risks", "other_tiny")) {
    r <- roc(h$y, h[[score]], levels = c(0, 1), direction = "<")
    ci <- ci.auc(r, method = "delong")
    # pROC gives NaN for the test of two scores of equal order: their difference has no variance
    p <- if (score == "other_tiny") roc.test(reference, r, method = "delong", paired = TRUE)$p.value else 1
    lines <- c(lines, sprintf("%s,%s,%.17g,%.17g,%.17g,%.17g,%.17g", cohort, score, ci[2], ci[1], ci[3],
                              as.numeric(auc(reference)) - as.numeric(auc(r)), p))
  }
}
writeLines(lines, "sharp_expected.csv")
