/** The page's own elements, by their ids and kinds. */

/** The element of that id. @throws Error where the page has none of that kind */
export function element<T extends HTMLElement>(id: string, kind: new () => T): T {
  const found = document.getElementById(id);
  if (found instanceof kind) return found;
  throw new Error(`index.html has no ${kind.name} #${id}`);
}

export const input = (id: string): HTMLInputElement => element(id, HTMLInputElement);
export const select = (id: string): HTMLSelectElement => element(id, HTMLSelectElement);
export const button = (id: string): HTMLButtonElement => element(id, HTMLButtonElement);
export const canvas = (id: string): HTMLCanvasElement => element(id, HTMLCanvasElement);
export const box = (id: string): HTMLElement => element(id, HTMLElement);

/** A new element with these fields and children. */
export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  fields: Partial<HTMLElementTagNameMap[K]> = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const made = Object.assign(document.createElement(tag), fields);
  made.append(...children);
  return made;
}

/** Context of a canvas. @throws Error where the browser has none */
export function context(of: HTMLCanvasElement): CanvasRenderingContext2D {
  const found = of.getContext('2d');
  if (found) return found;
  throw new Error('this browser has no 2D canvas');
}
