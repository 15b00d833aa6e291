/**
 * Finds a key that stands twice in one object of a JSON text. JSON.parse keeps the last one silently, which in a
 * checkpoint header would hide a tensor.
 * @param text valid JSON (JSON.parse has accepted it)
 * @returns the first repeated key, or undefined
 */
export function findDuplicateKey(text: string): string | undefined {
  const open: (Set<string> | null)[] = []; // one entry an open bracket: the keys of an object, null for an array
  let pending: string | undefined; // last string seen: a key if a colon follows
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (c === '"') {
      const start = i++;
      while (text[i] !== '"') i += text[i] === '\\' ? 2 : 1;
      pending = JSON.parse(text.slice(start, i + 1)) as string;
    } else if (c === '{') {
      open.push(new Set());
    } else if (c === '[') {
      open.push(null);
    } else if (c === '}' || c === ']') {
      open.pop();
    } else if (c === ':') {
      const keys = open.at(-1);
      if (keys && pending !== undefined) {
        if (keys.has(pending)) return pending;
        keys.add(pending);
      }
    }
  }
  return undefined;
}
