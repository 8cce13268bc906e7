# Writes patients.csv, a cohort with variables of a plan's own, and expected.csv (name,value) for
# tests/simulations/studies/test_own_variables_study.py. R 4.2.2, pROC 1.18.0: Rscript own.R
suppressMessages(library(pROC))
set.seed(7)
n <- 480
gcs <- pmin(15, pmax(3, round(15 - rgamma(n, 1.4, 0.35))))
nihss <- pmin(42, pmax(0, round(0.9 * (16 - gcs) + rnorm(n, 8, 5))))
glucose <- round(pmin(30, exp(rnorm(n, 1.95, 0.3))), 1)
platelets <- round(pmin(600, pmax(20, rnorm(n, 225, 65))))
spot_sign <- rbinom(n, 1, 0.25)
etiology <- sample(c("hypertensive", "CAA", "other"), n, TRUE, c(0.6, 0.25, 0.15))
age <- round(pmin(95, pmax(16, rnorm(n, 66, 13))))
rad <- matrix(rnorm(6 * n), n)
colnames(rad) <- paste0("rad_", 1:6)
rad <- round(sweep(sweep(rad, 2, c(1, 40, 0.2, 5, 900, 3), "*"), 2, c(10, 300, 1, 50, 5000, 20), "+"), 3)
z <- scale(rad)
eta <- -0.2 - 0.35 * (gcs - 12) + 0.15 * (glucose - 7) + 1.4 * spot_sign + 0.9 * (etiology == "CAA") -
  0.1 * (etiology == "other") + 0.03 * (age - 66) + 1.6 * z[, 1] - 1.5 * z[, 2]
poor_mrs <- rbinom(n, 1, plogis(eta))
vendor <- round(plogis(0.8 * eta + rnorm(n)), 4)
grade <- pmin(5, (gcs < 13) + (gcs < 9) + spot_sign + (age >= 70) + (glucose > 8))
d <- data.frame(patient = sprintf("P%03d", seq_len(n)), age, gcs, nihss, glucose, platelets, spot_sign, etiology,
                rad, vendor, grade, poor_mrs, split = ifelse(seq_len(n) %% 10 < 7, "train", "test"))
d$glucose[seq(5, n, 40)] <- NA
d$etiology[seq(9, n, 60)] <- NA
d$vendor[seq(11, n, 50)] <- NA
d$gcs[seq(20, n, 120)] <- NA
write.csv(d, "patients.csv", row.names = FALSE, na = "", quote = FALSE)

out <- c()
put <- function(name, value) out <<- c(out, sprintf("%s,%.17g", name, value))
tight <- glm.control(epsilon = 1e-15, maxit = 50)
# The plan leaves out the young, and whoever has a GCS below 4 or none
d <- subset(d, age >= 18 & !is.na(gcs) & gcs >= 4)
d$etiology <- factor(d$etiology, c("hypertensive", "CAA", "other"))
put("included", nrow(d))
train <- subset(d, split == "train")
report <- function(key, m) {
  s <- summary(m)$coefficients
  for (i in seq_len(nrow(s))) {
    name <- paste(key, rownames(s)[i], sep = ".")
    put(paste0(name, ".or"), exp(s[i, 1])); put(paste0(name, ".p"), s[i, 4])
    put(paste0(name, ".low"), exp(s[i, 1] - qnorm(0.975) * s[i, 2]))
    put(paste0(name, ".high"), exp(s[i, 1] + qnorm(0.975) * s[i, 2]))
  }
}
fit <- function(names) glm(reformulate(names, "poor_mrs"), binomial, train, control = tight)
candidates <- c("age", "gcs", "nihss", "glucose", "platelets", "spot_sign", "etiology")
entered <- c()
for (v in candidates) {
  m <- fit(v)
  report("univariate", m)
  if (any(summary(m)$coefficients[-1, 4] < 0.05)) entered <- c(entered, v)
}
report("multivariable", fit(entered))
clinical <- fit(c("gcs", "glucose", "etiology"))
report("clinical", clinical)
selected <- fit(c("gcs", "rad_1", "rad_2"))
report("radiomics", selected)
judge <- function(key, y, score, direction) {
  r <- roc(y, score, levels = c(0, 1), direction = direction, quiet = TRUE)
  put(paste0(key, ".auc"), as.numeric(auc(r)))
  ci <- ci.auc(r, method = "delong")
  put(paste0(key, ".low"), ci[1]); put(paste0(key, ".high"), ci[3])
}
test <- subset(d, split == "test")
for (part in c("test", "whole")) {
  rows <- if (part == "test") test else d
  judge(paste0(part, ".Vendor"), rows$poor_mrs, rows$vendor, "<")
  judge(paste0(part, ".Grade"), rows$poor_mrs, rows$grade, "<")
  judge(paste0(part, ".GCS"), rows$poor_mrs, rows$gcs, ">")
  judge(paste0(part, ".Texture"), rows$poor_mrs, rows$rad_1, "<")
}
judge("test.Clinical", test$poor_mrs, predict(clinical, test), "<")
judge("test.Radiomics", test$poor_mrs, predict(selected, test), "<")
for (level in 0:1) {
  rows <- subset(test, spot_sign == level)
  judge(paste0("test.GCS.spot_sign.", level), rows$poor_mrs, rows$gcs, ">")
}
# Table 1 of everybody
put("described.gcs.0", mean(d$gcs[d$poor_mrs == 0])); put("described.gcs.1", mean(d$gcs[d$poor_mrs == 1]))
put("described.spot_sign.1", sum(d$spot_sign[d$poor_mrs == 1]))
put("described.CAA.1", sum(d$etiology[d$poor_mrs == 1] == "CAA", na.rm = TRUE))
put("described.etiology.p", chisq.test(table(d$etiology, d$poor_mrs), correct = FALSE)$p.value)
writeLines(c("name,value", out), "expected.csv")
