/** Hands files to the person. */
import { make } from './elements.ts';

/** A text. */
export function saveText(text: string, name: string): void {
  saveBlob(new Blob([text], { type: 'application/json' }), name);
}

/** Bytes of any kind. */
export function saveBlob(blob: Blob, name: string): void {
  const href = URL.createObjectURL(blob);
  make('a', { href, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(href), 10_000);
}

/** Copies a text; as a file where the browser keeps its clipboard to itself. @returns whether it is in the clipboard */
export async function copyOrSave(text: string, name: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    saveText(text, name);
    return false;
  }
}
