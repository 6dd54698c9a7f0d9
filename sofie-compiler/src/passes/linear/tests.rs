//! Graphs before and after: what moves before a gather, what stays, and that the values agree.
