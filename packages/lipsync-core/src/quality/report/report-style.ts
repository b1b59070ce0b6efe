/** Style of the report page. It contains no character that markup would escape. */
export const reportStyle = `
body { font: 15px/1.45 system-ui, sans-serif; color: #1a1a1a; background: #fff; }
body { max-width: 1100px; margin: 24px auto; padding: 0 20px; }
h1 { font-size: 20px; margin: 0 0 12px; overflow-wrap: anywhere; }
h1 small { color: #666; font-weight: normal; }
h2 { font-size: 15px; margin: 24px 0 8px; }
article + article { border-top: 3px solid #ddd; margin-top: 48px; padding-top: 24px; }
p.status { font-size: 22px; font-weight: 600; margin: 0 0 8px; }
p.status.fatal { color: #c62828; }
.verdict { list-style: none; margin: 0; padding: 0; }
.verdict li, p.verdict { border-left: 8px solid #e0a100; background: #fff7e0; padding: 10px 14px; margin: 0 0 6px; }
.verdict li.fatal { border-color: #c62828; background: #fdecea; }
p.verdict.good { border-color: #2e7d32; background: #edf7ee; font-size: 18px; }
.verdict strong { font-size: 18px; display: block; }
.verdict code { color: #666; }
.verdict em { color: #c62828; font-style: normal; font-weight: bold; }
.scores { display: flex; gap: 12px; margin: 16px 0 0; }
.scores div { flex: 1; border: 1px solid #ddd; border-radius: 6px; padding: 8px 12px; }
.scores dt { color: #666; }
.scores dd { margin: 0; font-size: 24px; font-weight: 600; }
.scores dd.note { font-size: 12px; font-weight: normal; color: #666; }
svg { width: 100%; height: auto; display: block; }
svg text { font: 12px system-ui, sans-serif; fill: #333; }
svg text.end { text-anchor: end; }
svg text.time { fill: #777; text-anchor: middle; }
.sound { fill: #5b7fa6; }
.voiced { fill: #dbe9f8; }
.lips, .source, .confidence { fill: none; stroke-width: 1.5; }
.lips { stroke: #111; }
.source { stroke: #aaa; }
.confidence { stroke: #2e7d32; }
.grid { stroke: #eee; }
.lane { stroke: #ddd; }
.zero { stroke: #2e7d32; stroke-dasharray: 4 3; }
.best { fill: #c62828; }
rect.fatal { fill: #c62828; }
rect.defect { fill: #e0a100; }
.key, figcaption { color: #555; font-size: 13px; }
.columns { display: grid; grid-template-columns: 1fr 1fr; gap: 24px; }
.strip { display: flex; flex-wrap: wrap; gap: 6px; }
figure { margin: 0; }
.strip img { display: block; width: 72px; margin-bottom: 2px; }
.strip.faces img { width: 160px; }
.missing { display: block; width: 72px; height: 48px; background: #eee; color: #777; text-align: center; line-height: 48px; }
table { border-collapse: collapse; width: 100%; font-size: 13px; }
th, td { text-align: left; padding: 3px 8px 3px 0; border-bottom: 1px solid #eee; vertical-align: top; }
footer { color: #666; font-size: 12px; margin-top: 16px; }
`;
