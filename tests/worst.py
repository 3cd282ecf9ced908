"""Names that markup, formulas, fonts and terminals would take for something else."""

NAMES = (
    "bar $5_{ or $10",
    "=cmd|'/C calc'!A1",
    "<script>alert(1)</script>",
    "a|b\\|c`d`*e*_f_~~g~~",
    "[x](http://a.b) ![y](z) &amp; #1 :tada:",
    "{x_\\input} 50 % ^~ a--b \"q\" 'r'",
    "_é 中文 🙂",
    "-1+1",
)
