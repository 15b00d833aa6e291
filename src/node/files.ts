/** Files and directories of Node as byte sources and folders. */
import { open, readdir, readFile, stat } from 'node:fs/promises';
import { isAbsolute, join, normalize, sep } from 'node:path';
import { InputError, WeightsError } from '../core/errors.ts';
import type { ByteSource, FolderSource } from '../core/tensor-source.ts';
import { checkBytes, missingFile } from '../io/sources.ts';

/**
 * A file, held open until `close`; bytes go straight into the caller's view.
 * @param path of the file
 * @throws WeightsError when it cannot be opened or is no file
 */
export async function fileSource(path: string): Promise<ByteSource> {
  const handle = await open(path, 'r').catch((cause: unknown) => {
    throw new WeightsError({ op: 'open', problem: reason(cause), path, fix: 'Check the path.', cause });
  });
  const info = await handle.stat();
  if (!info.isFile()) {
    await handle.close();
    throw new WeightsError({ op: 'open', problem: 'not a file', path, fix: 'Check the path.' });
  }
  const self = { label: path, byteLength: info.size };
  let closed: Promise<void> | undefined;
  return {
    ...self,
    async read(offset, into): Promise<void> {
      if (closed) throw new WeightsError({ op: 'read', problem: 'the file is closed', path });
      checkBytes(self, offset, into.byteLength);
      for (let done = 0; done < into.byteLength; ) {
        const { bytesRead } = await handle
          .read(into, done, into.byteLength - done, offset + done)
          .catch(unreadable(path));
        // The file shrank since it was opened.
        if (bytesRead === 0) checkBytes({ label: path, byteLength: offset + done }, offset, into.byteLength);
        done += bytesRead;
      }
      // Behind the bytes: those of two states of a file are of neither.
      const now = await handle.stat().catch(unreadable(path));
      if (now.mtimeMs === info.mtimeMs && now.size === info.size) return;
      const fix = 'Open the model again once the file is whole.';
      throw new WeightsError({ op: 'read', problem: 'the file was written to since it was opened', path, fix });
    },
    close(): Promise<void> {
      closed ??= handle.close();
      return closed;
    },
  };
}

/**
 * A directory as a model folder. Paths that lead out of it are refused.
 * @param directory its path
 * @throws WeightsError when it is no directory
 */
export async function directory(directory: string): Promise<FolderSource> {
  const info = await stat(directory).catch((cause: unknown) => {
    throw new WeightsError({ op: 'open', problem: reason(cause), path: directory, fix: 'Check the path.', cause });
  });
  if (!info.isDirectory()) {
    throw new WeightsError({ op: 'open', problem: 'not a directory', path: directory, fix: 'Name the model folder.' });
  }
  const resolve = (path: string): string => {
    const inside = normalize(path);
    if (isAbsolute(inside) || inside === '..' || inside.startsWith(`..${sep}`)) {
      throw new InputError({
        op: 'folder',
        problem: 'a path leads out of the folder',
        received: path,
        path: directory,
      });
    }
    return join(directory, inside);
  };
  const orMissing =
    (path: string) =>
    (cause: unknown): never => {
      if (isAbsent(cause)) throw missingFile(directory, path, cause);
      throw new WeightsError({
        op: 'open',
        problem: reason(cause),
        path: join(directory, path),
        fix: 'Check it.',
        cause,
      });
    };
  return {
    label: directory,
    async has(path): Promise<boolean> {
      const found = await stat(resolve(path)).catch((cause: unknown) =>
        isAbsent(cause) ? undefined : orMissing(path)(cause),
      );
      return found?.isFile() ?? false;
    },
    async text(path): Promise<string> {
      return readFile(resolve(path), 'utf8').catch(orMissing(path));
    },
    async bytes(path): Promise<ByteSource> {
      return fileSource(resolve(path)).catch((error: unknown) => {
        const cause = error instanceof WeightsError ? error.cause : undefined;
        throw isAbsent(cause) ? missingFile(directory, path, cause) : error;
      });
    },
    async list(path): Promise<readonly string[]> {
      const entries = await readdir(resolve(path), { withFileTypes: true }).catch((cause: unknown) =>
        isAbsent(cause) ? [] : orMissing(path)(cause),
      );
      // The files of the Hub's cache are links.
      return entries.filter(entry => entry.isFile() || entry.isSymbolicLink()).map(entry => entry.name);
    },
  };
}

/** Throws what the system says of a file that cannot be read. */
function unreadable(path: string): (cause: unknown) => never {
  return cause => {
    throw new WeightsError({ op: 'read', problem: reason(cause), path, fix: 'Check the disk.', cause });
  };
}

function code(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}

function isAbsent(error: unknown): boolean {
  return code(error) === 'ENOENT' || code(error) === 'ENOTDIR';
}

/** Why the system refused a file, in words where there are some. */
export function reason(error: unknown): string {
  const known: Record<string, string> = {
    ENOENT: 'no such file or directory',
    ENOTDIR: 'a file in place of a folder',
    EACCES: 'no permission',
    EISDIR: 'a folder',
    ENOSPC: 'no space left',
    ELOOP: 'a link that leads round in a circle',
    ERR_FS_FILE_TOO_LARGE: 'a file that is too large for a text',
  };
  return known[code(error)] ?? (error instanceof Error ? error.message : String(error));
}
