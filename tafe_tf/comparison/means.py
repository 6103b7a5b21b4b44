"""Under which names the results of a comparison hold the means over several probabilities."""

MEAN = "auc/mean"  # mean over the tasks of the AUC over all impressions
CONDITIONAL_MEAN = "auc/conditional_mean"  # mean of the AUCs of P(T_i | T_{i-1}) over rows of both
