//! The page's style: system fonts, two colour schemes, and paper.

pub(super) const SHEET: &str = "\
:root{--paper:#fff;--ink:#1c2024;--soft:#5f6b76;--line:#dde2e7;--panel:#f5f7f9;--good:#18794e;--bad:#c62828;\
--critical:#8e1b1b;--high:#c2410c;--medium:#8a6100;--low:#3b6ea5;--unrated:#5f6b76;--bar:#7aa5d2}
@media (prefers-color-scheme:dark){:root{--paper:#14181c;--ink:#e6eaee;--soft:#9aa7b4;--line:#2c343c;--panel:#1b2127;\
--good:#4cc38a;--bad:#ff8589;--critical:#ff8589;--high:#f5a26b;--medium:#e3b341;--low:#7fb2e5;--unrated:#9aa7b4;--bar:#38618c}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main{max-width:76rem;margin:0 auto;padding:1.5rem}
h1{font-size:1.7rem;margin:0}h2{font-size:1.25rem;margin:2.2rem 0 .4rem;border-bottom:1px solid var(--line);padding-bottom:.3rem}
h3{font-size:1rem;margin:1.4rem 0 .4rem;overflow-wrap:anywhere}
.good{color:var(--good)}.bad{color:var(--bad)}.lead{margin:.2rem 0 .8rem;color:var(--soft);overflow-wrap:anywhere}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1rem;margin:.6rem 0;padding:.7rem 1rem;background:var(--panel);border-radius:.4rem}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.88rem}
th{text-align:left;color:var(--soft);font-weight:600;border-bottom:1px solid var(--line);padding:.3rem .6rem .3rem 0}
td{vertical-align:top;border-bottom:1px solid var(--line);padding:.35rem .6rem .35rem 0;overflow-wrap:anywhere}
.mono{font-family:ui-monospace,monospace;font-size:.82rem}
.word{white-space:nowrap}
.number{text-align:right;width:1%;white-space:nowrap;font-variant-numeric:tabular-nums}
.chip{display:inline-block;padding:0 .5rem;border:1px solid currentColor;border-radius:1rem;font-size:.78rem;white-space:nowrap}
.critical{color:var(--critical);font-weight:600}.high{color:var(--high)}.medium{color:var(--medium)}.low{color:var(--low)}.unrated{color:var(--unrated)}
.bar{width:10rem;min-width:6rem}.bar i{display:block;height:.7rem;margin-top:.3rem;background:var(--bar);border-radius:.2rem}
footer{margin-top:2.5rem;color:var(--soft);font-size:.85rem}
@media print{:root{--paper:#fff;--ink:#000;--soft:#444;--line:#bbb;--panel:#fff;--good:#000;--bad:#000;--critical:#000;--high:#000;\
--medium:#000;--low:#000;--unrated:#000;--bar:#999}
body{font-size:10pt}main{max-width:none;padding:0}.wide{overflow:visible}thead{display:table-header-group}tr,h2,h3{break-inside:avoid}\
h2,h3{break-after:avoid}.bar i{print-color-adjust:exact}}
";
