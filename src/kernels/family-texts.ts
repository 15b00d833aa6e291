/**
 * The texts of the families that only some devices run, `broadcast` and `matrix`: a file each, which load-texts.ts loads before the first
 * call that needs it. Calls are plain data and are made in one go, so their texts have to be there.
 */
import { ShaderError } from '../core/errors.ts';

/** Texts by their stems below wgsl/, of kernels and of what they append. */
export type FamilyTexts = Readonly<Record<string, string>>;

const texts = new Map<string, string>();

/** Makes texts known. */
export function addTexts(more: FamilyTexts): void {
  for (const [stem, text] of Object.entries(more)) texts.set(stem, text);
}

/**
 * A text of such a family.
 * @param stem as its file below wgsl/ is called
 * @throws ShaderError where it was not loaded
 */
export function familyText(stem: string): string {
  const text = texts.get(stem);
  if (text !== undefined) return text;
  const problem = 'the text of this kernel was not loaded';
  throw new ShaderError({ op: stem, problem, fix: "Import kernels from 'pentimento/kernels', which holds all texts." });
}
