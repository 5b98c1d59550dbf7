//! Back-off between attempts: exponential, with full jitter.

use crate::table::RetryPolicy;

/// The wait before attempt `made + 1`, in milliseconds: uniformly from nothing to
/// `initial * 2^(made-1)`, capped at `max`; at least what the service asked for by `Retry-After`.
/// `random` is any 64 random bits.
pub fn backoff(policy: &RetryPolicy, made: u32, retry_after: Option<u64>, random: u64) -> u64 {
    let ceiling = policy.initial.saturating_mul(1 << (made.saturating_sub(1)).min(32)).min(policy.max);
    let jittered = ((u128::from(random) * u128::from(ceiling + 1)) >> 64) as u64;
    jittered.max(retry_after.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_to_the_cap_and_honours_retry_after() {
        let policy = RetryPolicy { attempts: 9, initial: 100, max: 1_000 };
        assert_eq!(backoff(&policy, 1, None, u64::MAX), 100);
        assert_eq!(backoff(&policy, 2, None, u64::MAX), 200);
        assert_eq!(backoff(&policy, 9, None, u64::MAX), 1_000);
        assert_eq!(backoff(&policy, 3, None, 0), 0);
        assert_eq!(backoff(&policy, 1, Some(30_000), u64::MAX), 30_000);
    }
}
