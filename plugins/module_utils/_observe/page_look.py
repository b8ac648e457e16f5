# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the HTML report looks, and what it says of the method: constants alone.

A backslash at the end of a line joins it with the next one: none of these breaks is in the page.
"""

from __future__ import annotations

METHOD = """<ol class="method">
<li>On every host, the network namespaces whose veth leads to a bridge of the plan were looked up \
in the kernel. Neither the container runtime nor
what attached the pods was asked.</li>
<li>One process a host listened in all of them, on packet sockets that see what is delivered \
before any filter of the pod. Each listener had to hear a
control when it started and another
when it ended; one that did not proves nothing.</li>
<li>When all listened, every pod sent tokens to every other pod and to the hosts' own addresses, \
in each of the ways listed under coverage. What must
not arrive was sent twice; what must was
repeated until answered, three times at most. At its own end of each pod's interface, the host
compared what came out with what had been sent: no pod can change or forge a token unseen.</li>
<li><b>Isolated</b> means: sent, listened for, and not heard. <b>Connected</b> means: the token \
arrived on the right interface with its true source,
and the answer came back.
A sender's time-out alone is never taken for isolation, and what could not be told is never \
green.</li></ol>"""

ICONS = """<svg width="0" height="0" style="position:absolute" aria-hidden="true"><defs>
<symbol id="i-reached" viewBox="0 0 16 16">
<path d="M3 8.5l3.2 3.2L13 4.8" fill="none" stroke="currentColor" stroke-width="2.2" \
stroke-linecap="round" stroke-linejoin="round"/></symbol>
<symbol id="i-blocked" viewBox="0 0 16 16">
<circle cx="8" cy="8" r="5.2" fill="none" stroke="currentColor" stroke-width="1.7"/>
<path d="M4.4 4.4l7.2 7.2" stroke="currentColor" stroke-width="1.7"/></symbol>
<symbol id="i-leak" viewBox="0 0 16 16">
<path d="M3.6 3.6l8.8 8.8M12.4 3.6l-8.8 8.8" stroke="currentColor" stroke-width="2.6" \
stroke-linecap="round"/></symbol>
<symbol id="i-broken" viewBox="0 0 16 16">
<path d="M8 2.6v6.4" stroke="currentColor" stroke-width="2.6" stroke-linecap="round"/><circle \
cx="8" cy="12.9" r="1.6" fill="currentColor"/></symbol>
<symbol id="i-inconclusive" viewBox="0 0 16 16">
<path d="M5 5.6a3 3 0 1 1 4.4 2.7C8.4 8.9 8 9.4 8 10.3" fill="none" stroke="currentColor" \
stroke-width="2" stroke-linecap="round"/>
<circle cx="8" cy="13.2" r="1.3" fill="currentColor"/></symbol>
<symbol id="i-unmeasured" viewBox="0 0 16 16"><path d="M4.5 8h7" stroke="currentColor" \
stroke-width="1.6" stroke-linecap="round"/></symbol>
</defs></svg>"""

STYLE = """
:root{color-scheme:light dark;--bg:#f6f7f9;--card:#fff;--ink:#1b2330;--soft:#5d6878;--line:#dfe3ea;
--reached:#0a6ea8;--reached-bg:#d8ecf8;--blocked:#51607a;--blocked-bg:#eceff4;--leak:#fff;\
--leak-bg:#cc3311;--leak-ink:#cc3311;--broken:#4a2f00;--broken-bg:#f5b83d;
--inconclusive:#7b2d6b;--inconclusive-bg:#f3d9ec;--unmeasured:#a3acb9;--ok:#0a6ea8;--focus:#0a6ea8}
@media(prefers-color-scheme:dark){:root{--bg:#10141b;--card:#181e28;--ink:#e6eaf1;--soft:#98a3b5;\
--line:#2b3443;
--reached:#7fd0ff;--reached-bg:#0e3a56;--blocked:#97a5bd;--blocked-bg:#222b39;--leak:#fff;\
--leak-bg:#c93a17;--leak-ink:#ff8f6b;--broken:#2b1b00;--broken-bg:#f0ac2b;
--inconclusive:#f3b9e4;--inconclusive-bg:#4b2043;--unmeasured:#4d586a;--ok:#1685c4;--focus:#7fd0ff}}
*{box-sizing:border-box}html{scrollbar-gutter:stable}
body{margin:0;background:var(--bg);color:var(--ink);\
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
main{max-width:1180px;margin:0 auto;padding:28px 24px 60px}
.i{width:1em;height:1em;vertical-align:-.12em}
small{color:var(--soft);font-weight:400}\
code{font:12px/1.4 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
.banner{display:flex;gap:26px;align-items:center;padding:28px 32px;border-radius:16px;color:#fff;\
background:var(--ok)}
.banner.leaks{background:#b92c0f}.banner.broken{background:#9a6400}\
.banner.inconclusive{background:#7b2d6b}
.banner .seal{flex:none;width:88px;height:88px;border-radius:50%;background:rgba(255,255,255,.18);\
display:grid;place-items:center;font-size:52px}
.banner p{margin:0}.banner h1{margin:2px 0 6px;font-size:38px;line-height:1.1;letter-spacing:-.02em}
.kicker{font-size:13px;letter-spacing:.06em;text-transform:uppercase;opacity:.85}
.headline{font-size:17px;max-width:70ch}.when{margin-top:8px!important;font-size:13px;opacity:.8}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;\
margin:16px 0 8px}
.tile{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:14px 16px}
.tile b{display:block;font-size:24px;line-height:1.2;letter-spacing:-.01em;\
font-variant-numeric:tabular-nums}
.tile span{color:var(--soft);font-size:13px}.tile.leak{border-color:var(--leak-bg);\
box-shadow:inset 0 0 0 1px var(--leak-bg)}
.tile.leak b{color:var(--leak-ink)}
.tile.broken{border-color:var(--broken-bg);box-shadow:inset 0 0 0 1px var(--broken-bg)}
.tile.inconclusive{border-color:var(--inconclusive);box-shadow:inset 0 0 0 1px var(--inconclusive)}
section{margin-top:34px}h2{font-size:20px;margin:0 0 2px;letter-spacing:-.01em}\
.lead{color:var(--soft);margin:0 0 12px;max-width:90ch}
.scroll{position:relative;overflow-x:auto;background:var(--card);border:1px solid var(--line);\
border-radius:12px;\
padding:14px}
table{border-collapse:separate;border-spacing:0}th{font-weight:600;text-align:left}
.c.reached{background:var(--reached-bg);color:var(--reached)}\
.c.blocked{background:var(--blocked-bg);color:var(--blocked)}
.c.leak{background:var(--leak-bg);color:var(--leak)}
.c.broken{background:var(--broken-bg);color:var(--broken)}\
.c.inconclusive{background:var(--inconclusive-bg);color:var(--inconclusive)}
.c.unmeasured{color:var(--unmeasured)}
table.networks{border-spacing:6px;width:100%;table-layout:fixed}.networks thead td{width:170px}\
.networks thead th{text-align:center}
.networks th{padding:6px 12px;vertical-align:bottom}.networks th small{display:block}\
.networks tbody th{vertical-align:middle;white-space:nowrap}
.networks em{font:600 11px/1 system-ui,sans-serif;color:var(--soft);border:1px solid var(--line);\
border-radius:99px;padding:2px 7px;margin-left:4px}
.networks td.c{padding:14px;border-radius:10px;text-align:center;font-size:22px;line-height:1.2}\
.networks td.c b{display:block;font-size:15px}
.networks td.c small{color:inherit;opacity:.85;font-size:12px}\
.networks td.unmeasured{border:1px dashed var(--line)}
.legend{display:flex;flex-wrap:wrap;gap:6px 18px;margin:10px 2px 0;font-size:13px;color:var(--soft)}
.legend span{display:inline-flex;align-items:center;gap:7px}
.legend .c{width:20px;height:20px;border-radius:5px;display:inline-grid;place-items:center;\
font-size:13px}
.legend .unmeasured{border:1px dashed var(--line)}
.finding{background:var(--card);border:1px solid var(--line);border-left:6px solid var(--line);\
border-radius:10px;padding:14px 18px;margin:10px 0}
.finding.leak{border-left-color:var(--leak-bg)}.finding.broken{border-left-color:var(--broken-bg)}
.finding.inconclusive{border-left-color:var(--inconclusive)}
.finding h3{margin:0 0 4px;font-size:16px}.finding.leak h3 .i{color:var(--leak-ink)}\
.finding.broken h3 .i{color:#b57b00}
.finding.inconclusive h3 .i{color:var(--inconclusive)}.finding h3 .i{margin-right:8px}
.finding p{margin:6px 0;overflow-wrap:anywhere}.number{font-weight:400;color:var(--soft);\
font-size:13px;margin-left:6px}
.chips span{display:inline-block;font-size:12.5px;border:1px solid var(--line);
border-radius:99px;padding:1px 10px;margin:0 6px 4px 0;color:var(--soft)}
.repair b{font-size:12px;text-transform:uppercase;letter-spacing:.05em;margin-right:6px;\
color:var(--soft)}
table.pods{border-spacing:2px}
.pods td.c,.pods td.self{width:30px;min-width:30px;height:30px;text-align:center;border-radius:6px;\
font-size:16px;line-height:1}
.pods td.self{background:repeating-linear-gradient(45deg,transparent 0 4px,var(--line) 4px 5px)}
.pods thead th{vertical-align:bottom;font-weight:500;font-size:12.5px}
.pods .end{display:inline-block;overflow:hidden;text-overflow:ellipsis;max-width:420px;\
vertical-align:bottom}.pods thead .end{max-width:none;max-height:360px}
.networks.small td.c{padding:5px;font-size:16px}.networks.small td.c b{display:inline;\
font-size:13.5px;margin:0 6px}.networks.small td.c small{font-size:11.5px}
.networks.small thead td{width:300px}.networks.small tbody th{white-space:normal;\
overflow-wrap:anywhere;font-weight:500;font-size:13.5px;padding:3px 12px}
.name{white-space:nowrap}
.pods thead th .end{writing-mode:vertical-rl;transform:rotate(180deg);white-space:nowrap;\
padding:4px 0}
.pods tbody th[scope]{font-weight:500;font-size:13px;white-space:nowrap;text-align:right;\
padding:0 8px 0 4px}
.pods .group span{writing-mode:vertical-rl;transform:rotate(180deg);font-size:13px}
.pods thead .group{font-size:13px;padding:2px 4px;white-space:nowrap}
.pods .group{background:var(--blocked-bg);border-radius:5px;text-align:center;padding:4px 3px}
.pods td.edge,.pods thead th.edge{border-left:8px solid transparent;background-clip:padding-box}
.pods tr.edge>*{border-top:8px solid transparent;background-clip:padding-box}
table.facts{width:100%;font-size:13.5px}
.facts th{color:var(--soft);font-weight:500;font-size:12.5px;padding:4px 10px;\
border-bottom:1px solid var(--line);white-space:nowrap}
.facts td{padding:6px 10px;border-bottom:1px solid var(--line);vertical-align:top;\
font-variant-numeric:tabular-nums}
.facts tr:last-child td{border-bottom:0}.facts td small{display:block;max-width:34ch;\
overflow-wrap:anywhere}
.facts td:first-child small{white-space:nowrap}.facts .i{color:#c98700;margin-right:5px}\
.coverage td:nth-child(n+3):nth-child(-n+6){text-align:right}
.coverage th:nth-child(n+3):nth-child(-n+6){text-align:right}\
.coverage td:last-child{white-space:nowrap}
.bar{display:inline-block;width:110px;height:8px;border-radius:9px;background:var(--broken-bg);\
overflow:hidden;margin-right:8px}
.bar i{display:block;height:100%;background:var(--ok)}.bar.none{background:var(--line)}
.method{max-width:88ch;padding-left:22px;margin:6px 0}.method li{margin:6px 0}\
footer{margin-top:40px;color:var(--soft);font-size:13px}
a{color:inherit;text-underline-offset:3px}
a:focus-visible,summary:focus-visible,[tabindex]:focus-visible,.finding:target\
{outline:3px solid var(--focus);outline-offset:2px}
.finding{scroll-margin-top:16px}.unseen{position:absolute;width:1px;height:1px;overflow:hidden;\
clip-path:inset(50%)}
nav{display:flex;flex-wrap:wrap;gap:4px 18px;margin:16px 2px 0;font-size:13.5px;color:var(--soft)}
.first{margin-top:12px!important;font-weight:600}.banner a:focus-visible{outline-color:#fff}
.c a{display:block;text-decoration:none}.pods .c a{line-height:30px}
details{margin:8px 0}summary{cursor:pointer;color:var(--soft);font-size:13.5px}\
details .scroll{margin-top:8px}
pre{margin:8px 0 0;padding:10px 14px;overflow-x:auto;border-radius:8px;background:var(--bg);\
border:1px solid var(--line)}
@media(max-width:640px){main{padding:14px}.banner{padding:20px;gap:16px}.banner .seal{width:56px;\
height:56px;font-size:32px}
.banner h1{font-size:28px}}
@media print{.scroll{overflow:visible}body{background:#fff}}
"""
