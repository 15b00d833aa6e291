/** Prompts that were written, as buttons. */
import { box, make } from '../../shared/elements.ts';

/** Shows them, each once. @param use told of the one that is pressed @returns what is said of them */
export function showSuggestions(texts: readonly string[], use: (text: string) => void): string {
  const buttons = [...new Set(texts)].map(text => {
    const one = make('button', { type: 'button' }, text);
    one.addEventListener('click', () => use(text));
    return make('li', {}, one);
  });
  box('suggestions').replaceChildren(...buttons);
  return `${buttons.length} suggestions.`;
}
