//! Expands patterns with braces, such as `shard-{000000..000146}.tar`, as shells and WebDataset do.

/// The largest number of names that one pattern may expand to.
///
/// A larger number is most likely a typing error.
const LIMIT: usize = 1_000_000;

/// Expands the ranges of whole numbers, `{08..12}`, and the lists, `{train,val}`, in `pattern`.
///
/// Numbers get as many digits as the first number of their range. Several groups multiply, and the last one varies
/// fastest. Text without braces is returned unchanged. The error says what is wrong with the pattern.
pub(crate) fn expand(pattern: &str) -> Result<Vec<String>, String> {
    let Some((before, rest)) = pattern.split_once('{') else {
        return Ok(vec![pattern.to_owned()]);
    };
    let Some((group, after)) = rest.split_once('}') else {
        return Err("a { without a closing }".to_owned());
    };
    let (choices, endings) = (choices(group)?, expand(after)?);
    if choices.len().saturating_mul(endings.len()) > LIMIT {
        return Err(format!("the braces expand to more than {LIMIT} names"));
    }
    let joined = choices.iter().flat_map(|choice| {
        endings
            .iter()
            .map(move |ending| format!("{before}{choice}{ending}"))
    });
    Ok(joined.collect())
}

fn choices(group: &str) -> Result<Vec<String>, String> {
    let Some((first, last)) = group.split_once("..") else {
        return Ok(group.split(',').map(str::to_owned).collect());
    };
    let number = |text: &str| {
        text.parse::<usize>()
            .map_err(|_| format!("{{{group}}}: expected whole numbers, such as {{000..146}}"))
    };
    let (low, high) = (number(first)?, number(last)?);
    if low > high {
        return Err(format!(
            "{{{group}}}: the first number is larger than the last"
        ));
    }
    if high - low >= LIMIT {
        return Err(format!("the braces expand to more than {LIMIT} names"));
    }
    let width = first.len();
    Ok((low..=high).map(|n| format!("{n:0width$}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_keep_their_zeros_and_groups_multiply() {
        let expanded = |pattern: &str| expand(pattern).unwrap().join(" ");
        assert_eq!(
            expanded("a-{008..011}.tar"),
            "a-008.tar a-009.tar a-010.tar a-011.tar"
        );
        assert_eq!(expanded("{8..10}"), "8 9 10");
        assert_eq!(
            expanded("{train,val}-{0..1}"),
            "train-0 train-1 val-0 val-1"
        );
        assert_eq!(expanded("plain.tar"), "plain.tar");
        assert_eq!(expand("x-{000000..000146}.tar").unwrap().len(), 147);
    }

    #[test]
    fn mistakes_are_named() {
        let wrong = |pattern: &str| expand(pattern).unwrap_err();
        assert!(wrong("a-{0..5.tar").contains("without a closing }"));
        assert!(wrong("{5..2}").contains("larger"));
        assert!(wrong("{a..c}").contains("whole numbers"));
        assert!(wrong("{0..99999999999}").contains("more than"));
        assert!(wrong("{0..9999}{0..9999}").contains("more than"));
    }
}
