/**
 * Starts a page's worker. One that began as a blob has the page's own policy, which its script's answer would have to bring from the server
 * otherwise: what the page may not ask, the worker may not either, from the first visit on.
 * @param script its address, beside the page
 */
export function startedWorker(script: string): Worker {
  const start = `import ${JSON.stringify(new URL(script, document.baseURI).href)};`;
  return new Worker(URL.createObjectURL(new Blob([start], { type: 'text/javascript' })), { type: 'module' });
}
