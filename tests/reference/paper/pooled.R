# What R makes of the rows of `rhe-simulate paper-tables` in one place:
#   Rscript tests/reference/paper/pooled.R runs/paper-tables/centres > tests/reference/paper/pooled.csv
folder <- commandArgs(trailingOnly = TRUE)[1]
rows <- do.call(rbind, lapply(c("centre1-a", "centre1-b", "centre2-a", "centre2-b"), function(site) {
  table <- read.csv(file.path(folder, site, "cohort.csv"), stringsAsFactors = FALSE)
  table$site <- site
  table
}))
ich <- rows$followup_ich_volume_ml - rows$ich_volume_ml
ivh <- rows$followup_ivh_volume_ml - rows$ivh_volume_ml
near <- 1e-6
rows$rhe <- as.integer(ich >= 6 - near | ich >= 0.33 * rows$ich_volume_ml - near | ivh >= 1 - near |
  (rows$ivh_volume_ml == 0 & rows$followup_ivh_volume_ml > 0))
of <- list(
  training = rows[rows$split %in% "train", ],
  internal = rows[rows$split %in% "test", ],
  external = rows[grepl("^centre2", rows$site), ]
)
told <- function(name, value) cat(sprintf("%s,%.15g\n", name, value))
cat("name,value\n")
train <- of$training
told("diabetes.training.p", chisq.test(table(train$diabetes, train$rhe), correct = FALSE)$p.value)
told("location.training.p", chisq.test(table(train$location, train$rhe), correct = FALSE)$p.value)
told("fluid_level.external.p", suppressWarnings(
  chisq.test(table(of$external$fluid_level, of$external$rhe), correct = TRUE))$p.value)
told("fluid_level.internal.p", fisher.test(table(of$internal$fluid_level, of$internal$rhe))$p.value)
told("age.internal.p", t.test(age ~ rhe, data = of$internal, var.equal = TRUE)$p.value)
exact <- glm.control(epsilon = 1e-14, maxit = 50)
ratio <- function(name, formula, data, term) {
  found <- summary(glm(formula, binomial, data, control = exact))$coefficients[term, ]
  told(paste0(name, ".or"), exp(found[1]))
  told(paste0(name, ".low"), exp(found[1] - qnorm(0.975) * found[2]))
  told(paste0(name, ".high"), exp(found[1] + qnorm(0.975) * found[2]))
  told(paste0(name, ".p"), found[4])
}
train$sex <- factor(train$sex, c("male", "female"))
train$location <- factor(train$location, c("lobar", "deep", "infratentorial"))
ratio("sex", rhe ~ sex, train, "sexfemale")
ratio("hypodensity", rhe ~ hypodensity, train, "hypodensity")
ratio("deep", rhe ~ location, train, "locationdeep")
