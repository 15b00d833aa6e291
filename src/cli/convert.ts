/** `pentimento convert`: a checkpoint that is one file, written as a folder in diffusers' layout. */
import { existsSync, lstatSync } from 'node:fs';
import { type FileHandle, open, rename, rm, rmdir, statfs } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { Command, Option } from 'commander';
import { InputError } from '../core/errors.ts';
import type { ByteSource } from '../core/tensor-source.ts';
import { openSafetensors } from '../io/safetensors.ts';
import { safetensorsBytes } from '../io/safetensors-bytes.ts';
import { halfTensors } from '../io/tensor-view.ts';
import { reason } from '../node/files.ts';
import { makeFolder } from '../node/make-folder.ts';
import type { SingleFile } from '../pipeline/diffusion/single-file-options.ts';
import { type Outside, print } from './command.ts';
import { addSingleFileOptions, type HubOptions, type SingleFileOptionsTyped } from './options.ts';
import { createProgress, type Progress } from './progress.ts';
import { isFile, openSingleFileAt } from './single-file.ts';

interface Options extends HubOptions, SingleFileOptionsTyped {
  readonly dtype?: 'float16';
  readonly json?: boolean;
}

/** Bytes that are in memory at once. */
const CHUNK = 4 * 2 ** 20;

/** The command with all its options. */
export function convertCommand(outside: Outside): Command {
  const command = new Command('convert')
    .description("Write a Stable Diffusion checkpoint that is one file as a folder in diffusers' layout.")
    .argument('<file>', '.safetensors or .ckpt of Stable Diffusion 1.x or 2.x')
    .argument('<folder>', 'folder to write; it must not be there')
    .addOption(new Option('--dtype <type>', 'store halves (default: as the file has them)').choices(['float16']))
    .option('--json', 'print the result as JSON on stdout');
  addSingleFileOptions(command);
  command.option('--cache-dir <dir>', "where Hub files are kept (default: the Hub's own cache)");
  return command.action((file: string, folder: string, o: Options) => convert(file, folder, o, outside));
}

async function convert(file: string, folder: string, o: Options, outside: Outside): Promise<void> {
  const target = resolve(folder);
  if (isTaken(target)) {
    const fix = 'Name a folder that is not there: nothing is overwritten.';
    throw new InputError({ op: 'convert', problem: 'the folder is there already', path: folder, fix });
  }
  if (!isFile(file)) {
    const problem = existsSync(file) ? 'not a file' : 'no such file';
    throw new InputError({ op: 'convert', problem, path: file, fix: 'Name a .safetensors or .ckpt file.' });
  }
  const progress = createProgress(outside.stderr);
  let single: SingleFile | undefined;
  try {
    single = await openSingleFileAt(file, o, progress, outside.signal);
    const bytes = await writeFolder(single, target, o.dtype === 'float16', progress, outside.signal);
    progress.stop();
    print(outside, o.json === true, { command: 'convert', file, files: { folder }, bytes });
  } finally {
    progress.stop();
    await single?.close();
  }
}

/** Writes everything beside the target, then renames it: the folder appears whole or not at all. @returns bytes written */
async function writeFolder(
  single: SingleFile,
  target: string,
  half: boolean,
  progress: Progress,
  signal: AbortSignal,
): Promise<number> {
  const sources = new Map<string, ByteSource>();
  const part = `${target}.${process.pid}.part`;
  let made: string | undefined;
  try {
    for (const path of single.paths) sources.set(path, await sourceOf(single, path, half));
    const of = [...sources.values()].reduce((sum, { byteLength }) => sum + byteLength, 0);
    made = await makeFolder(part);
    await checkSpace(dirname(part), of);
    let done = 0;
    for (const [path, source] of sources) {
      const file = join(part, path);
      await makeFolder(dirname(file));
      await copy(source, file, signal, bytes => progress.bytes('converting', done + bytes, of));
      done += source.byteLength;
    }
    if (isTaken(target))
      throw new InputError({ op: 'convert', problem: 'the folder appeared meanwhile', path: target });
    await rename(part, target);
    return of;
  } catch (cause) {
    await rm(part, { recursive: true, force: true });
    await removeEmpty(dirname(part), made);
    signal.throwIfAborted();
    if (!(cause instanceof Error && 'syscall' in cause)) throw cause;
    const fix = 'Name another folder.';
    throw new InputError({
      op: 'convert',
      problem: 'cannot be written',
      received: reason(cause),
      path: target,
      fix,
      cause,
    });
  } finally {
    await Promise.all([...sources.values()].map(source => source.close?.()));
  }
}

/** A file of the folder; weights as halves where they are asked for. */
async function sourceOf({ folder }: SingleFile, path: string, half: boolean): Promise<ByteSource> {
  const bytes = await folder.bytes(path);
  if (!half || !path.endsWith('.safetensors')) return bytes;
  const tensors = await openSafetensors(bytes);
  return { ...safetensorsBytes(halfTensors(tensors), tensors.metadata), close: async () => bytes.close?.() };
}

async function copy(
  source: ByteSource,
  path: string,
  signal: AbortSignal,
  onBytes: (bytes: number) => void,
): Promise<void> {
  const handle = await open(path, 'wx');
  try {
    const buffer = new Uint8Array(Math.min(CHUNK, source.byteLength));
    for (let at = 0; at < source.byteLength; at += buffer.length) {
      signal.throwIfAborted();
      const chunk = buffer.subarray(0, source.byteLength - at);
      await source.read(at, chunk);
      await write(handle, chunk, at);
      onBytes(at + chunk.length);
    }
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function write(handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    done += (await handle.write(bytes, done, bytes.length - done, position + done)).bytesWritten;
  }
}

/** @throws InputError where the disk has less room than the folder needs */
async function checkSpace(folder: string, bytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(folder);
  if (bavail * bsize >= bytes) return;
  const mib = (n: number): string => `${Math.ceil(n / 2 ** 20)} MiB`;
  const [expected, received] = [mib(bytes), mib(bavail * bsize)];
  throw new InputError({ op: 'convert', problem: 'not enough room on the disk', expected, received, path: folder });
}

/** Takes away the folders above the part that were made for it. */
async function removeEmpty(folder: string, made: string | undefined): Promise<void> {
  if (made === undefined || !folder.startsWith(made)) return;
  await rmdir(folder).catch(() => undefined);
  await removeEmpty(dirname(folder), made);
}

/** Whether something has this name, a link that leads nowhere too. */
function isTaken(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}
