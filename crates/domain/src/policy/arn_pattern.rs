//! ARNs with wildcards, in the two ways in which the language reads them.

use super::pattern::{self, Pattern, Piece, Syntax};
use super::{ConditionContext, MalformedPolicy};

/// A value of the operators `ArnEquals` and `ArnLike`: each of the six parts between colons is compared on its own, so that no wildcard
/// reaches over a colon, save in the last part, where colons are plain characters. `*` alone stands for any ARN. Source: AWS IAM User
/// Guide, "ARN condition operators".
#[derive(Debug)]
pub(super) enum ArnPattern {
    /// The parts, known from the policy alone.
    Fixed(Parts),
    /// The parts, some with variables. What these stand for stays in the part where they stand: a colon in it is a character like others.
    Variable(Parts),
    /// A variable by itself: the value is what it stands for, as it is.
    Whole(Pattern),
    /// With variables, but not six parts: fits nothing.
    Nothing,
}

/// An ARN's parts: `arn`, partition, service, Region, account, resource.
type Parts = [Vec<Piece>; 6];

impl ArnPattern {
    /// Reads a value of an ARN operator.
    ///
    /// # Errors
    /// A text that cannot be an ARN, and that would therefore never match.
    pub(super) fn parse(text: &str, variables: bool) -> Result<Self, MalformedPolicy> {
        let pattern = Pattern::parse(text, Syntax { wildcards: true, variables })?;
        if pattern.has_variables() {
            return Ok(match (pattern.pieces(), split(pattern.pieces())) {
                ([Piece::Variable(_)], _) => Self::Whole(pattern),
                (_, Some(parts)) => Self::Variable(parts),
                (_, None) => Self::Nothing,
            });
        }
        let invalid =
            || MalformedPolicy::new(format!("Invalid ARN {text:?} in a condition: an ARN has six parts between colons."));
        split(pattern.pieces()).map(Self::Fixed).ok_or_else(invalid)
    }

    /// About how many bytes of memory it takes.
    pub(super) fn weight(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Fixed(parts) | Self::Variable(parts) => parts.iter().map(|part| pattern::weight(part)).sum(),
                Self::Whole(pattern) => pattern.weight(),
                Self::Nothing => 0,
            }
    }

    /// Whether a value of the request is an ARN that fits.
    pub(super) fn matches(&self, value: &str, context: &dyn ConditionContext) -> bool {
        match self {
            Self::Fixed(parts) => parts_match(parts, value, context, false),
            Self::Variable(parts) => parts_match(parts, value, context, true),
            Self::Whole(pattern) => pattern.matches(value, context),
            Self::Nothing => false,
        }
    }
}

fn parts_match(parts: &Parts, value: &str, context: &dyn ConditionContext, variables: bool) -> bool {
    let mut values = value.splitn(parts.len(), ':');
    parts.iter().all(|part| {
        let Some(value) = values.next() else { return false };
        match variables {
            false => pattern::matches(part, value, context),
            true => pattern::resolve(part, context).is_some_and(|part| pattern::matches(&part, value, context)),
        }
    })
}

/// Cuts a pattern at its first five colons.
fn split(pieces: &[Piece]) -> Option<Parts> {
    let mut parts: Parts = Default::default();
    if pieces == [Piece::AnyRun] {
        return Some(parts.map(|_| vec![Piece::AnyRun]));
    }
    let mut part = 0;
    for piece in pieces {
        let Piece::Text(text) = piece else {
            parts.get_mut(part)?.push(piece.clone());
            continue;
        };
        let mut rest: &str = text;
        while part < 5
            && let Some((before, after)) = rest.split_once(':')
        {
            push_text(parts.get_mut(part)?, before);
            part += 1;
            rest = after;
        }
        push_text(parts.get_mut(part)?, rest);
    }
    (part == 5).then_some(parts)
}

fn push_text(part: &mut Vec<Piece>, text: &str) {
    if !text.is_empty() {
        part.push(Piece::Text(text.into()));
    }
}

/// A value of `Resource` or `NotResource`: `*`, or an ARN with wildcards. Here a `*` may reach over colons, as AWS says of one that ends
/// a part of an ARN. Source: AWS IAM User Guide, "IAM JSON policy elements: Resource".
#[derive(Debug)]
pub(super) struct ResourcePattern(Pattern);

impl ResourcePattern {
    /// Reads a resource.
    ///
    /// # Errors
    /// AWS's text for what is neither `*` nor an ARN; ours for a variable before the fifth colon, where AWS allows none.
    pub(super) fn parse(text: &str, variables: bool) -> Result<Self, MalformedPolicy> {
        let pattern = Pattern::parse(text, Syntax { wildcards: true, variables })?;
        let reaches_resource = text == "*" || text.contains('*') || text.split(':').count() >= 6;
        if text != "*" && !(text.starts_with("arn:") && reaches_resource) {
            return Err(MalformedPolicy::new(format!("Resource {text} must be in ARN format or \"*\".")));
        }
        let mut before = pattern.pieces().iter().take_while(|piece| !matches!(piece, Piece::Variable(_)));
        let colons: usize =
            before.by_ref().map(|piece| if let Piece::Text(text) = piece { text.matches(':').count() } else { 0 }).sum();
        if pattern.has_variables() && colons < 5 {
            return Err(MalformedPolicy::new(format!(
                "Resource {text} has a policy variable before the fifth colon of the ARN."
            )));
        }
        Ok(Self(pattern))
    }

    /// About how many bytes of memory it takes.
    pub(super) fn weight(&self) -> usize {
        self.0.weight()
    }

    /// Whether the resource of a request fits. `*`, the resource of actions that have none, fits nothing but `*`.
    pub(super) fn matches(&self, resource: &str, context: &dyn ConditionContext) -> bool {
        self.0.matches(resource, context)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Values;
    use super::*;

    /// Every condition key has this value.
    struct Always(&'static str);

    impl ConditionContext for Always {
        fn values(&self, _key: &str) -> Values<'_> {
            Values::One(self.0.into())
        }
    }

    #[test]
    fn what_a_variable_stands_for_stays_in_its_part() {
        let fits = |pattern: &str, value: &'static str, arn: &str| {
            ArnPattern::parse(pattern, true).unwrap().matches(arn, &Always(value))
        };
        let pattern = "arn:aws:s3:${aws:PrincipalTag/region}:111111111111:bucket";
        assert!(fits(pattern, "eu-west-1", "arn:aws:s3:eu-west-1:111111111111:bucket"));
        // The tag would be a Region, an account and a bucket of its own choice.
        assert!(!fits(pattern, "r:222222222222:mine", "arn:aws:s3:r:222222222222:mine:111111111111:bucket"));
        assert!(!fits(
            "arn:aws:${aws:PrincipalTag/x}:*:111111111111:*",
            "s3:r:222222222222",
            "arn:aws:s3:r:222222222222:*:111111111111:*"
        ));
        // In the last part colons are characters like others; and wildcards in a value are no wildcards.
        assert!(fits("arn:aws:logs:r:111111111111:${aws:PrincipalTag/x}", "group:a:b", "arn:aws:logs:r:111111111111:group:a:b"));
        assert!(!fits("arn:aws:s3:::${aws:PrincipalTag/x}", "*", "arn:aws:s3:::bucket"));
        // An ARN may stand for itself; a part of one, or more than one, stands for nothing.
        assert!(fits("${aws:PrincipalArn}", "arn:aws:iam::111111111111:user/a", "arn:aws:iam::111111111111:user/a"));
        assert!(!fits("${aws:PrincipalArn}*", "arn:aws:iam::111111111111:user/a", "arn:aws:iam::111111111111:user/a"));
    }
}
