//! Errors of the kernel: which message, which part of it, and in what words. Pure.

use super::{
    attr::Attrs,
    message::{HEADER, Message},
};
use crate::{
    Culprit, DecodeError, Op,
    read::attr::{fixed, text},
    uapi::{
        NFTA_RULE_EXPRESSIONS, NFTA_SET_ELEM_LIST_ELEMENTS, NLMSGERR_ATTR_MSG, NLMSGERR_ATTR_OFFS,
    },
};

/// What an `NLMSG_ERROR` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Sequence number of the message that it answers.
    pub(crate) seq: u32,
    /// 0 acknowledges.
    pub(crate) errno: i32,
    pub(crate) message: Option<String>,
    /// Offset in that message of the attribute that is to blame, from the message's header on.
    pub(crate) offset: Option<usize>,
}

/// Reads the payload of an `NLMSG_ERROR` (`struct nlmsgerr`).
pub(crate) fn answer(message: &Message<'_>) -> Result<Answer, DecodeError> {
    let payload = message.payload;
    let code = payload.first_chunk::<4>().ok_or(DecodeError::Truncated)?;
    let errno = i32::from_ne_bytes(*code).checked_neg().ok_or(DecodeError::Truncated)?;
    let inner = payload.get(4..4 + HEADER).ok_or(DecodeError::Truncated)?;
    let seq = u32::from_ne_bytes([inner[8], inner[9], inner[10], inner[11]]);
    let mut answer = Answer { seq, errno, message: None, offset: None };
    if i32::from(message.flags) & NLM_F_ACK_TLVS == 0 {
        return Ok(answer);
    }
    // Without the capped flag the whole message stands before the attributes.
    let inner_len = u32::from_ne_bytes([inner[0], inner[1], inner[2], inner[3]]) as usize;
    let capped = i32::from(message.flags) & NLM_F_CAPPED != 0;
    let skip = if capped {
        HEADER
    } else {
        inner_len.checked_next_multiple_of(4).ok_or(DecodeError::Truncated)?
    };
    let attrs = Attrs::new(payload.get(4..).and_then(|rest| rest.get(skip..)).unwrap_or(&[]));
    if let Some(words) = attrs.get(NLMSGERR_ATTR_MSG)? {
        answer.message = text(words).ok().map(str::to_owned);
    }
    if let Some(offset) = attrs.get(NLMSGERR_ATTR_OFFS)? {
        // In host order, unlike the numbers of nf_tables.
        answer.offset = Some(u32::from_ne_bytes(fixed(offset)?) as usize);
    }
    Ok(answer)
}

const NLM_F_CAPPED: i32 = 0x100;
const NLM_F_ACK_TLVS: i32 = 0x200;

/// The part of an operation that stands at `offset` of its message.
///
/// `elements` gives the place in the operation of each element in the message.
pub(crate) fn culprit(
    op: &Op,
    message: &[u8],
    offset: usize,
    elements: &[usize],
) -> Option<Culprit> {
    let list = match op.rule() {
        Some(_) => NFTA_RULE_EXPRESSIONS,
        None => NFTA_SET_ELEM_LIST_ELEMENTS,
    };
    let place = place_in_list(message, list, offset)?;
    if let Some(rule) = op.rule() {
        let expr = rule.exprs.get(place)?;
        return Some(Culprit::Expr {
            index: place,
            name: expr.name().to_owned(),
            expr: expr.to_string(),
        });
    }
    let index = *elements.get(place)?;
    let element = op.elements().get(index)?;
    Some(Culprit::Element { index, element: element.to_string() })
}

/// Which member of the list attribute `offset` points into.
fn place_in_list(message: &[u8], list: u16, offset: usize) -> Option<usize> {
    let attrs = message.get(HEADER + 4..)?;
    let base = message.as_ptr() as usize;
    let members = Attrs::new(attrs).nested(list).ok()??;
    // libnftnl numbers the members; the kernel doesn't look at their types.
    members.iter().map_while(Result::ok).position(|(_, value)| {
        let start = value.as_ptr() as usize - base - 4;
        (start..start + 4 + value.len()).contains(&offset)
    })
}
