/**
 * Tuning tables in the storage of a page's origin (IndexedDB), by the same names as in Node's cache directory. The browser keeps each whole
 * or not at all. What is there and cannot be used is named and left alone, and whoever asked works without a table.
 */
import { InputError, PentimentoError } from '../core/errors.ts';
import { checkNames, namesOf } from '../core/known-names.ts';
import { type Caps, checkCaps } from '../gpu/caps.ts';
import { parseTuningTable } from './read-table.ts';
import { keyOfTable, type TuningTable, tuningFor, tuningKey } from './table.ts';

/** Who is told of tables that cannot be used. */
export interface KeptTuningOptions {
  /** Default console.warn. */
  readonly onWarning?: ((message: string) => void) | undefined;
}

/** A table that is kept. */
export interface KeptTuning {
  /** By which it is removed. */
  readonly name: string;
  /** Undefined where what is kept is none that this version reads. */
  readonly table: TuningTable | undefined;
  /** What is wrong with it; undefined where nothing is. */
  readonly problem: string | undefined;
}

const OPTIONS = namesOf<KeptTuningOptions>({ onWarning: 1 });
const [DATABASE, STORE] = ['pentimento', 'tuning'];

/**
 * The table that was kept for a device, checked as `Gpu.request` checks it.
 * @param device a Gpu, or its capabilities
 * @returns undefined where none is kept or nothing can be, and where what is kept cannot be used, of which `onWarning` is told
 * @throws InputError for what is neither
 */
export async function keptTuning(
  device: Caps | { readonly caps: Caps },
  options: KeptTuningOptions = {},
): Promise<TuningTable | undefined> {
  checkNames('keptTuning', options, OPTIONS);
  const { onWarning = (message: string) => console.warn(message) } = options;
  const caps = capsIn('keptTuning', device);
  if (!('indexedDB' in globalThis)) return undefined;
  const name = tuningKey(caps);
  try {
    const found = await inStore('readonly', store => store.get(name));
    if (found === undefined) return undefined;
    const table = parseTuningTable(found);
    tuningFor(table, caps);
    return table;
  } catch (error) {
    const said = error instanceof PentimentoError ? error.message : String(error);
    onWarning(`A tuning table is not used: ${said} (${name})`);
    return undefined;
  }
}

/**
 * Keeps a table for its adapter, in the place of the one that was kept before.
 * @returns its name
 * @throws InputError for what is no table, and where the browser keeps nothing; what was kept before stays then
 */
export async function keepTuning(table: TuningTable): Promise<string> {
  const checked = parseTuningTable(table);
  const name = keyOfTable(checked);
  await asked('keepTuning', () => inStore('readwrite', store => store.put(structuredClone(checked), name)));
  return name;
}

/** All tables that are kept, damaged ones too, by their names. @throws InputError where the browser keeps nothing */
export async function listKeptTuning(): Promise<readonly KeptTuning[]> {
  const names = await asked('listKeptTuning', () => inStore('readonly', store => store.getAllKeys()));
  const found: KeptTuning[] = [];
  for (const name of names.map(String).sort()) {
    const stored = await asked('listKeptTuning', () => inStore('readonly', store => store.get(name)));
    found.push({ name, ...readTable(stored) });
  }
  return found;
}

/**
 * Deletes a table that is kept.
 * @param name as `listKeptTuning` gives it
 * @returns whether it was there
 * @throws InputError where the browser keeps nothing
 */
export async function removeKeptTuning(name: string): Promise<boolean> {
  const there = await asked('removeKeptTuning', () => inStore('readonly', store => store.count(name)));
  await asked('removeKeptTuning', () => inStore('readwrite', store => store.delete(name)));
  return there > 0;
}

/** @throws InputError for what is neither a device nor the capabilities of one */
export function capsIn(op: string, device: Caps | { readonly caps: Caps }): Caps {
  const { caps = device } = Object(device) as { readonly caps?: Caps };
  checkCaps(op, caps as Caps);
  return caps as Caps;
}

/** What is stored as a table, or why it is none. */
export function readTable(stored: unknown): Pick<KeptTuning, 'table' | 'problem'> {
  try {
    return { table: parseTuningTable(stored), problem: undefined };
  } catch (error) {
    return { table: undefined, problem: error instanceof PentimentoError ? error.problem : String(error) };
  }
}

/** One request in a transaction of its own; what it gives is there once the transaction is complete. */
async function inStore<T>(mode: IDBTransactionMode, ask: (store: IDBObjectStore) => IDBRequest<T>): Promise<T> {
  const database = await opened();
  try {
    return await new Promise<T>((resolve, reject) => {
      const transaction = database.transaction(STORE, mode);
      const request = ask(transaction.objectStore(STORE));
      transaction.oncomplete = () => resolve(request.result);
      transaction.onabort = () => reject(transaction.error);
    });
  } finally {
    database.close();
  }
}

function opened(): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(DATABASE, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

async function asked<T>(op: string, ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (cause) {
    throw new InputError({
      op,
      problem: 'the browser keeps no tables here',
      received: String(cause),
      fix: "Allow the site to keep data; in Node use keepTuning of 'pentimento/node'.",
      cause,
    });
  }
}
