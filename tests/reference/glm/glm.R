# Writes glm.csv (name,value) for tests/common/stats from ../tables/birthwt.csv. R 4.2.2, brglm2: Rscript glm.R
suppressMessages(library(brglm2))
b <- read.csv("../tables/birthwt.csv")
b$race <- factor(b$race)
out <- c()
put <- function(name, value) out <<- c(out, sprintf("%s,%.17g", name, value))
tight <- glm.control(epsilon = 1e-15, maxit = 50)
report <- function(key, m) {
  s <- summary(m)$coefficients
  for (i in seq_len(nrow(s))) {
    put(paste(key, rownames(s)[i], "beta", sep = "."), s[i, 1]); put(paste(key, rownames(s)[i], "se", sep = "."), s[i, 2])
    put(paste(key, rownames(s)[i], "p", sep = "."), s[i, 4])
  }
  put(paste0(key, ".ll"), as.numeric(logLik(m)))
}
full <- glm(low ~ age + lwt + race + smoke + ht + ui, binomial, b, control = tight)
report("full", full)
lr <- drop1(full, test = "LRT")
for (v in rownames(lr)[-1]) put(paste0("full.", v, ".lr"), lr[v, "Pr(>Chi)"])
for (v in c("age", "lwt", "race", "smoke", "ht", "ui")) report(paste0("uni"), glm(reformulate(v, "low"), binomial, b, control = tight))
firth <- function(d, f) glm(f, binomial, d, method = "brglmFit", type = "AS_mean",
                            control = brglmControl(epsilon = 1e-14, maxit = 1000))
f <- firth(b, low ~ age + lwt + race + smoke + ht + ui)
s <- summary(f)$coefficients
for (i in seq_len(nrow(s))) { put(paste("firth", rownames(s)[i], "beta", sep = "."), s[i, 1]); put(paste("firth", rownames(s)[i], "se", sep = "."), s[i, 2]) }
# Separated: nobody with the invented sign is a case
b$sign <- as.integer(b$low == 0 & b$age > 30)
f <- firth(b, low ~ sign + lwt)
s <- summary(f)$coefficients
for (i in seq_len(nrow(s))) { put(paste("separated", rownames(s)[i], "beta", sep = "."), s[i, 1]); put(paste("separated", rownames(s)[i], "se", sep = "."), s[i, 2]) }
# Variance inflation by its definition: generalised for race
x <- model.matrix(full)[, -1]; r <- cor(x)
g <- function(own) det(r[own, own, drop = FALSE]) * det(r[-own, -own]) / det(r)
put("vif.age", g(1)); put("vif.race", g(3:4)); put("vif.ui", g(7))
writeLines(c("name,value", out), "glm.csv")
