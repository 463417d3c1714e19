"""Why a decision was not taken."""


class ReviewError(Exception):
    """A decision or look-up that cannot be done. The text is for the caller."""


class ReviewNotFound(ReviewError):
    """No review has this id, or several do."""


class NotAReviewer(ReviewError):
    """This identity may not decide this review."""


class ReviewConflict(ReviewError):
    """The review has moved on, or the digest is not the one on record."""
