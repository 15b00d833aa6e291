/** The fenced blocks of a language in a Markdown text. */
export function blocks(text: string, language: string): string[] {
  return [...text.matchAll(new RegExp(`\`\`\`${language}\\n([\\s\\S]*?)\`\`\``, 'g'))].map(m => m[1]);
}

/** Code with other words in place of those that it has; fails where it does not have them. */
export function replaced(code: string, words: Readonly<Record<string, string>>): string {
  return Object.entries(words).reduce((text, [from, to]) => {
    if (!text.includes(from)) throw new Error(`the block has no "${from}"`);
    return text.replace(from, to);
  }, code);
}
