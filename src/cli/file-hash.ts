/** SHA-256 of files that a command names, in pieces, so that none has to fit into memory. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { InputError } from '../core/errors.ts';

/**
 * Refuses what is there and is no file: of a pipe that nobody writes to, no signal would end the reading.
 * @param source as it was typed
 * @param o.folders whether folders pass: reading them says what they are
 * @throws InputError
 */
export async function checkIsFile(
  op: string,
  path: string,
  source: string,
  { folders = false }: { readonly folders?: boolean } = {},
): Promise<void> {
  const kind = await stat(path).catch(() => undefined);
  if (!kind || kind.isFile() || (folders && kind.isDirectory())) return;
  throw new InputError({ op, problem: 'not a file', path: source, fix: 'Save it as a file first.' });
}

/** In hex. @throws the signal's reason, or what the system says */
export async function fileHash(path: string, signal: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash, { signal }).catch((error: unknown) => {
    signal.throwIfAborted();
    throw error;
  });
  return hash.digest('hex');
}
