//! Label propagation on DAVIS-2017, VIP and JHMDB with their official metrics.
