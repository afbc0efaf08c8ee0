/** Style of the docs page, light and dark. */
export const DOCS_STYLE = `
:root {
  color-scheme: light dark;
  --ground: light-dark(#ffffff, #15181c);
  --panel: light-dark(#f4f6f8, #1d2127);
  --line: light-dark(#d5dbe1, #363d46);
  --text: light-dark(#1b2229, #e6eaee);
  --muted: light-dark(#56616d, #a3aebb);
  --accent: light-dark(#0b5fa5, #6db8f5);
  --on-accent: light-dark(#ffffff, #0b1520);
  --get: light-dark(#0a6b3d, #5fd39a);
  --change: light-dark(#8a4b00, #f0b25e);
  --remove: light-dark(#a8202a, #ff8f94);
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--text); font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.4rem; margin: 0; }
h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
h3 { font-size: 1rem; margin: 1.25rem 0 .4rem; }
p { margin: .25rem 0; }
code, pre, textarea { font: .875rem/1.5 ui-monospace, 'Cascadia Code', Menlo, Consolas, monospace; }
.skip { position: absolute; left: -100rem; }
.skip:focus { left: 1rem; top: .5rem; background: var(--ground); padding: .25rem .5rem; }
header { display: flex; flex-wrap: wrap; gap: 1rem 2rem; align-items: center; justify-content: space-between;
  padding: 1rem 1.5rem; border-bottom: 1px solid var(--line); background: var(--panel); }
#about, #token-note, .muted { color: var(--muted); }
#token-note { font-size: .8125rem; flex-basis: 100%; }
#access { display: flex; flex-wrap: wrap; gap: .25rem .5rem; align-items: center; max-width: 30rem; }
#access input { flex: 1; }
#trouble { flex-basis: 100%; color: var(--remove); font-weight: 600; }
label { font-weight: 600; font-size: .875rem; }
input, select, textarea, button { font-size: .9375rem; color: inherit; background: var(--ground);
  border: 1px solid var(--line); border-radius: 4px; padding: .375rem .5rem; min-width: 0; }
button { background: var(--accent); border-color: var(--accent); color: var(--on-accent); font-weight: 600; cursor: pointer; }
button.quiet { background: transparent; color: var(--accent); }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
.columns { display: grid; grid-template-columns: minmax(14rem, 20rem) minmax(0, 1fr); }
.columns[hidden] { display: none; }
nav { padding: 1rem; border-right: 1px solid var(--line); position: sticky; top: 0; max-height: 100vh; overflow: auto; align-self: start; }
nav input { width: 100%; margin-bottom: .75rem; }
nav h2 { font-size: .8125rem; color: var(--muted); margin: .75rem 0 .125rem; overflow-wrap: anywhere; }
nav ul { list-style: none; margin: 0; padding: 0; }
nav a { display: flex; gap: .5rem; padding: .125rem .25rem; color: inherit; text-decoration: none; border-radius: 4px; overflow-wrap: anywhere; }
nav a:hover { background: var(--panel); text-decoration: underline; }
main { padding: .5rem 1.5rem 4rem; max-width: 60rem; }
main:focus { outline: none; }
.method { font: 700 .8125rem/1.6 ui-monospace, Menlo, Consolas, monospace; min-width: 4.5em; display: inline-block; color: var(--change); }
.method.get, .method.head { color: var(--get); }
.method.delete { color: var(--remove); }
details.operation { border: 1px solid var(--line); border-radius: 6px; margin: .5rem 0; }
details.operation > summary { padding: .5rem .75rem; cursor: pointer; background: var(--panel); border-radius: 6px; overflow-wrap: anywhere; }
details.operation > div { padding: 0 .75rem 1rem; }
summary .muted { margin-left: .75rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9375rem; }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem .3rem 0; border-bottom: 1px solid var(--line); }
th { font-size: .8125rem; color: var(--muted); }
pre { background: var(--panel); border: 1px solid var(--line); border-radius: 4px; padding: .6rem .75rem; overflow: auto; max-height: 24rem; margin: .25rem 0; white-space: pre-wrap; overflow-wrap: anywhere; }
.fields { display: grid; grid-template-columns: minmax(6rem, 12rem) minmax(0, 1fr); gap: .4rem .75rem; align-items: start; }
.fields label { padding-top: .375rem; overflow-wrap: anywhere; }
textarea { width: 100%; min-height: 7rem; }
.actions { display: flex; flex-wrap: wrap; gap: .5rem; margin: .6rem 0; align-items: center; }
@media (max-width: 46rem) {
  .columns { grid-template-columns: minmax(0, 1fr); }
  nav { position: static; max-height: 16rem; border-right: 0; border-bottom: 1px solid var(--line); }
  .fields { grid-template-columns: minmax(0, 1fr); }
}
`
