/**
 * `GET /docs`: the API of the channels for people. One page without anything from elsewhere: its script and its style
 * are allowed by their hashes, it may talk to this server only, and everything from the document is set as text.
 */
import { createHash } from 'node:crypto'
import { DOCS_SCRIPT } from './docs-script.ts'
import { DOCS_STYLE } from './docs-style.ts'

export const DOCS_PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>API of the channels - Signalbox</title>
<link rel="icon" href="data:,">
<style>${DOCS_STYLE}</style>
</head>
<body>
<a class="skip" href="#operations">Skip to the operations</a>
<header>
<div class="title"><h1 id="title">API of the channels</h1><p id="about">Paste a token of this node to see what its channels offer.</p></div>
<form id="access">
<label for="token">Token</label>
<input id="token" type="password" autocomplete="off" spellcheck="false" required aria-describedby="token-note">
<button type="submit">Load</button>
<p id="token-note">The one in .signalbox/admin-token of the project, or any with the permission resource.read. It is kept in the memory of this page only.</p>
</form>
<p id="trouble" role="alert" hidden></p>
</header>
<div class="columns" id="columns" hidden>
<nav aria-label="Operations">
<label for="filter">Filter</label>
<input id="filter" type="search" placeholder="path, service or text">
<div id="index"></div>
</nav>
<main id="operations" tabindex="-1"></main>
</div>
<noscript><p>This page needs JavaScript. The document itself is at /v1/openapi.json.</p></noscript>
<script type="module">${DOCS_SCRIPT}</script>
</body>
</html>
`

/** The Content-Security-Policy of the page. */
export const DOCS_CSP = {
  'content-security-policy': [
    "default-src 'none'",
    `script-src '${hashOf(DOCS_SCRIPT)}'`,
    `style-src '${hashOf(DOCS_STYLE)}'`,
    "connect-src 'self'",
    'img-src data:',
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
  ].join('; '),
}

function hashOf(text: string): string {
  return `sha256-${createHash('sha256').update(text).digest('base64')}`
}
