/** Tokens that swallow the white space beside them. */
import { trimEnd, trimStart } from './normalizers.ts';
import type { AddedToken } from './special-tokens.ts';

/** Cuts tokens out of texts, longest first, and takes the white space beside them as their settings say. */
export class TokenSplitter {
  private readonly byContent: ReadonlyMap<string, AddedToken>;
  private readonly pattern: RegExp | undefined;

  /** @param tokens those to find */
  constructor(tokens: readonly AddedToken[]) {
    this.byContent = new Map(tokens.map(token => [token.content, token]));
    const longestFirst = [...this.byContent.keys()].sort((a, b) => b.length - a.length);
    this.pattern =
      longestFirst.length > 0 ? new RegExp(`(${longestFirst.map(escapePattern).join('|')})`, 'u') : undefined;
  }

  /**
   * Splits a text.
   * @returns stretches of text and tokens by turns, text first and last (and maybe empty)
   */
  split(text: string): string[] {
    if (!this.pattern) return [text];
    const parts = text.split(this.pattern);
    return parts.map((part, i) => {
      if (i % 2 === 1) return part;
      const right = this.byContent.get(parts[i - 1] ?? '')?.rstrip ? trimStart(part) : part;
      return this.byContent.get(parts[i + 1] ?? '')?.lstrip ? trimEnd(right) : right;
    });
  }
}

function escapePattern(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&');
}
