"""What each raw value means: one table for files, frames and requests.

| Raw value                 | dtype "string"       | dtype "int64"          | "float32", "float64" |
|---------------------------|----------------------|------------------------|----------------------|
| text                      | itself               | 1 to 5 below           | 1 to 5 below         |
| bytes                     | their UTF-8 text     | as text                | as text              |
| integer, signed or not    | its decimal digits   | itself, within 64 bits | itself               |
| boolean                   | refused              | 1 or 0                 | 1 or 0               |
| float                     | refused              | itself if whole, see 6 | itself               |
| decimal of scale 0        | its decimal digits   | itself, within 64 bits | itself               |
| decimal of another scale  | refused              | itself if whole        | itself               |
| date                      | YYYY-MM-DD           | seconds since 1970     | seconds since 1970   |
| timestamp, any unit, zone | refused              | whole seconds, UTC     | seconds, UTC         |
| time of day               | refused              | whole seconds          | seconds              |
| duration                  | refused              | whole seconds          | seconds              |
| UUID                      | its canonical text   | refused                | refused              |
| bytes of a fixed size     | lowercase hex digits | refused                | refused              |
| dictionary, run-end       | what it encodes      | what it encodes        | what it encodes      |

A text is a number if it is (1) a decimal number such as 7, 3.0 or 1e3, (2) true or false in any
case, which are 1 and 0, (3) a date or a timestamp in ISO 8601, with or without a zone, or (4) a
time of day such as 12:30 or 12:30:59.5. These count seconds: since 1970-01-01 UTC, or since
midnight. (5) For "int64" the number must be whole and fit into 64 bits. (6) A float holds all
digits of an integer up to 2^53 in magnitude (float32: 2^24, float16: 2^11); a larger one is
refused.

Missing, as a whole value and as an entry of a list, are null, None, NaN, NaT, pandas.NA, a masked
value, the empty text, and the texts of `Schema.missing`. If one of these texts is a number, then
that number is missing in columns of numbers, however it is written.

A column of a refused type is an error that names the mend, unless all of its values are missing. A
single value that means nothing is a problem of its row. Where a column must hold lists, a text is
split at the column's separator. Python values of several kinds in one column are spelled one by
one. Bytes that are not UTF-8 stay bytes, which only kind "hash" takes.

`values.spelled` does this for Arrow arrays, `lists.split` gives a column's lists,
`time_column.times` reads `Schema.time`, and `any_column.to_arrow_array` makes an Arrow array of a
column of any library.
"""
