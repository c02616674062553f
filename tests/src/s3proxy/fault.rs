//! What can go wrong between an appliance and its bucket: one name for each class, and which requests it can happen to.

use super::seen::{Kind, Seen};

/// A class of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// Nobody listens: the request's connection breaks, and for a moment new ones are refused.
    Refused,
    /// The connection is reset before the body of the request is read.
    ResetBefore,
    /// The connection is reset in the middle of the request's body; the server has seen the first half of it.
    ResetInBody,
    /// The request is carried out, and the connection is reset in the place of the answer.
    LostReply,
    /// The request is carried out, and the answer comes after the client has lost its patience.
    LateReply,
    /// The answer comes at a byte per second, and soon not at all.
    Trickle,
    /// 400 `InvalidRequest`.
    BadRequest,
    /// 403 `RequestTimeTooSkewed`.
    ClockSkew,
    /// 403 `AccessDenied`.
    Denied,
    /// 400 `ExpiredToken`.
    Expired,
    /// 404 `NoSuchBucket`.
    NoBucket,
    /// 409 `OperationAborted`.
    Aborted,
    /// 412 `PreconditionFailed` for a conditional PUT, though nothing is there.
    FalseCondition,
    /// 429 `TooManyRequests`.
    TooMany,
    /// 500 `InternalError`.
    Failing,
    /// 503 `SlowDown`.
    SlowDown,
    /// 503 `SlowDown` with `Retry-After`.
    SlowDownAfter,
    /// 301 `PermanentRedirect` to another region.
    Redirect,
    /// 200 with an error document, and nothing is done.
    ErrorInSuccess,
    /// 200 with a web page, and nothing is done: somebody in between answers for the server.
    Garbage,
    /// The body ends in its middle under the right `Content-Length`.
    CutBody,
    /// A chunked body ends in its middle, without its last chunk.
    CutChunks,
    /// More bytes come than `Content-Length` says.
    ExtraBytes,
    /// More bytes come than there are, and `Content-Length` counts them.
    LongerBody,
    /// One bit in the middle of the body is turned.
    FlippedBit,
    /// Another `ETag` than the object's.
    WrongTag,
    /// Another SHA-256 than the object's in `x-amz-checksum-sha256`.
    WrongChecksum,
    /// More headers than a client takes.
    HeaderFlood,
    /// The newest object is not in the list yet.
    StaleList,
    /// The second half of the list is not there, and `IsTruncated` says that it is whole.
    PartialList,
    /// The list goes on for ever under the same continuation token.
    CircularList,
    /// HEAD does not see an object that was just written.
    HiddenObject,
    /// A PUT is answered with success, and nothing is done.
    IgnoredPut,
    /// A PUT is carried out twice.
    DoublePut,
    /// A DELETE is answered with success, and nothing is done.
    IgnoredDelete,
    /// A range is answered with the whole object (200).
    IgnoredRange,
    /// A range is answered with another one.
    OtherRange,
}

impl Fault {
    /// All of them.
    pub const ALL: [Fault; 37] = [
        Fault::Refused,
        Fault::ResetBefore,
        Fault::ResetInBody,
        Fault::LostReply,
        Fault::LateReply,
        Fault::Trickle,
        Fault::BadRequest,
        Fault::ClockSkew,
        Fault::Denied,
        Fault::Expired,
        Fault::NoBucket,
        Fault::Aborted,
        Fault::FalseCondition,
        Fault::TooMany,
        Fault::Failing,
        Fault::SlowDown,
        Fault::SlowDownAfter,
        Fault::Redirect,
        Fault::ErrorInSuccess,
        Fault::Garbage,
        Fault::CutBody,
        Fault::CutChunks,
        Fault::ExtraBytes,
        Fault::LongerBody,
        Fault::FlippedBit,
        Fault::WrongTag,
        Fault::WrongChecksum,
        Fault::HeaderFlood,
        Fault::StaleList,
        Fault::PartialList,
        Fault::CircularList,
        Fault::HiddenObject,
        Fault::IgnoredPut,
        Fault::DoublePut,
        Fault::IgnoredDelete,
        Fault::IgnoredRange,
        Fault::OtherRange,
    ];

    /// Whether it can happen to this request. A deletion that is answered with success and not carried out is a class of its own.
    pub fn fits(self, asked: &Seen) -> bool {
        let kind = asked.kind;
        match self {
            Fault::ResetInBody | Fault::IgnoredPut | Fault::DoublePut => kind == Kind::Put,
            Fault::FalseCondition => kind == Kind::Put && asked.conditional,
            Fault::IgnoredDelete => kind == Kind::Delete,
            Fault::ErrorInSuccess | Fault::Garbage => kind != Kind::Delete,
            Fault::HiddenObject => kind == Kind::Head && asked.written,
            Fault::StaleList | Fault::PartialList | Fault::CircularList => kind == Kind::List,
            Fault::IgnoredRange | Fault::OtherRange => kind == Kind::Range,
            Fault::CutBody | Fault::CutChunks | Fault::ExtraBytes | Fault::LongerBody | Fault::FlippedBit => {
                matches!(kind, Kind::Get | Kind::Range | Kind::List)
            }
            Fault::WrongTag | Fault::WrongChecksum => {
                matches!(kind, Kind::Put | Kind::Get | Kind::Range | Kind::Head)
            }
            _ => true,
        }
    }

    /// How often in a row a case may have it: enough to wear out the client's own tries where that costs little time. A server
    /// that says of several deletions in a row that it did them can make anybody forget too early; one such lie has to be seen.
    pub fn burst(self) -> usize {
        match self {
            Fault::IgnoredDelete => 1,
            Fault::LateReply | Fault::Trickle | Fault::Refused => 2,
            _ => 5,
        }
    }

    /// Whether it makes the bucket say that it holds less than it does, so that whoever knows of nothing else believes it.
    pub fn hides(self) -> bool {
        matches!(
            self,
            Fault::StaleList
                | Fault::PartialList
                | Fault::HiddenObject
                | Fault::NoBucket
                | Fault::FlippedBit
                | Fault::Garbage
                | Fault::ErrorInSuccess
                | Fault::LongerBody
        )
    }
}
