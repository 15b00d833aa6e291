/** The JSON files of a model folder. */
import { InputError } from '../../core/errors.ts';
import { checkFolder } from '../../core/kinds.ts';
import type { FolderSource } from '../../core/tensor-source.ts';
import { parseJsonFile } from '../../io/json-file.ts';

/**
 * Reads a JSON object of a model folder.
 * @param op who asks, for messages
 * @param fix what to do about a missing file
 * @throws InputError for what is no folder, and for a file that is missing, no JSON, or no object; a Git LFS pointer, a page or
 * a server's answer in its place is named as such
 */
export async function readJson(
  folder: FolderSource,
  path: string,
  op: string,
  fix: string = 'Pass a model folder as transformers saves it.',
): Promise<Record<string, unknown>> {
  checkFolder(folder, op);
  const where = `${folder.label}/${path}`;
  if (!(await folder.has(path))) {
    throw new InputError({ op, problem: `${path} is missing`, path: folder.label, fix });
  }
  const text = await folder.text(path);
  let value: unknown;
  try {
    value = await parseJsonFile(text, op, where);
  } catch (cause) {
    if (cause instanceof InputError) throw cause;
    throw new InputError({ op, problem: 'the file is not JSON', path: where, fix: 'Download it again.', cause });
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new InputError({ op, problem: 'the file is not a JSON object', path: where, fix: 'Download it again.' });
}
