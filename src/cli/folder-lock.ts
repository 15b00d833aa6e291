/** One command at a time in a folder of results. */
import { open, readFile, rename, rm, rmdir } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname, resolve } from 'node:path';
import { InputError } from '../core/errors.ts';
import { makeFolder } from '../node/make-folder.ts';

/** A folder that no other command writes to. */
export interface HeldFolder {
  /** Whether a command was killed here: files of its last picture may be there that nothing tells of. */
  readonly interrupted: boolean;
  /** Lets go of it; a folder that was made and has stayed empty goes too. */
  release(): Promise<void>;
}

interface Holder {
  readonly version: 1;
  readonly pid: number;
  readonly host: string;
}

/** The lock's name in the folder. */
const LOCK = '.pentimento.lock';

/** A lock that holds nothing yet is given time: its command may be writing it. */
const HALF_WRITTEN_MS = 100;

/** Locks of this process; one of its number that is not here is of a process before it. */
const held = new Set<string>();

/**
 * Takes a folder, which is made where it is missing.
 * @param folder of the results
 * @throws InputError where another command works in it
 */
export async function holdFolder(folder: string): Promise<HeldFolder> {
  const path = resolve(folder, LOCK);
  const first = await makeFolder(folder);
  let interrupted = false;
  for (let attempt = 0; !(await created(path)); attempt++) {
    const text = await readFile(path, 'utf8').catch(() => '');
    const holder = holderIn(text);
    if (attempt > 5 || (holder && works(holder, path))) throw busy(folder, holder);
    if (!holder && attempt < 2) await new Promise(resume => setTimeout(resume, HALF_WRITTEN_MS));
    else if (await removeStale(path, text)) interrupted = true;
  }
  held.add(path);
  const release = async (): Promise<void> => {
    held.delete(path);
    await rm(path, { force: true });
    if (first !== undefined) await removeEmpty(folder, first);
  };
  return { interrupted, release };
}

async function created(path: string): Promise<boolean> {
  try {
    const file = await open(path, 'wx');
    await file.writeFile(`${JSON.stringify({ version: 1, pid: process.pid, host: hostname() } satisfies Holder)}\n`);
    await file.close();
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

function holderIn(text: string): Holder | undefined {
  try {
    const { version, pid, host } = Object(JSON.parse(text)) as Partial<Holder>;
    return version === 1 && typeof pid === 'number' && typeof host === 'string' ? { version, pid, host } : undefined;
  } catch {
    return undefined; // killed while it wrote this
  }
}

/** Whether the process is still there. Of other machines nobody knows. */
function works({ pid, host }: Holder, path: string): boolean {
  if (host !== hostname()) return true;
  if (pid === process.pid) return held.has(path);
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'; // there, and of another user
  }
}

/** Moved away first: a lock that another command put there meanwhile is given back. */
async function removeStale(path: string, text: string): Promise<boolean> {
  const aside = `${path}.${process.pid}.old`;
  try {
    await rename(path, aside);
  } catch {
    return false; // another command was faster
  }
  const stale = (await readFile(aside, 'utf8').catch(() => '')) === text;
  if (stale) await rm(aside, { force: true });
  else await rename(aside, path);
  return stale;
}

async function removeEmpty(folder: string, first: string): Promise<void> {
  for (let path = resolve(folder); path.startsWith(resolve(first)); path = dirname(path)) {
    try {
      await rmdir(path);
    } catch {
      return; // it holds something
    }
  }
}

function busy(folder: string, holder: Holder | undefined): InputError {
  return new InputError({
    op: 'output',
    problem: 'another command writes to this folder',
    received: holder ? `process ${holder.pid} on ${holder.host}` : 'a lock',
    path: folder,
    fix: `Wait for it, or name another folder with -o; where none runs any more, remove ${LOCK} from the folder.`,
  });
}
