/** What is written down of a file that is kept, beside its bytes; and where both lie. */
import { digestOf } from './sha256.ts';
import { fileWriter, orAbsent, type StorageFolder } from './storage.ts';

/** Of what is written down. What another version wrote is not read: its files are fetched anew. */
export const VERSION = 1;

/** A file of a model, whole or on its way. */
export interface KeptFile {
  readonly version: typeof VERSION;
  /** In the model's folder. */
  readonly path: string;
  /** Bytes; undefined while nobody knows. */
  readonly size?: number | undefined;
  /** What the server calls this version of it: ETag, or the date of its last change. */
  readonly validator?: string | undefined;
  /** SHA-256, or git's SHA-1, by the Hub's listing. */
  readonly hash?: string | undefined;
  /** Bytes of each piece but the last. */
  readonly pieceBytes: number;
  /** SHA-256 of each piece that lies there. */
  readonly pieces: readonly string[];
  /** When each piece was written, as the storage says: one that was not touched since is what its digest said. 0 where it says nothing. */
  readonly times?: readonly number[] | undefined;
  /** Of the whole file's digest behind these pieces; absent where there is no such digest. */
  readonly state?: string | undefined;
  readonly whole: boolean;
  /** The server has no such file. */
  readonly absent?: boolean | undefined;
}

/** What is written down of a model. */
export interface KeptModel {
  readonly version: typeof VERSION;
  /** Where it comes from. */
  readonly label: string;
  /** Of a repository: the commit that was listed last. */
  readonly commit?: string | undefined;
  /** Its files: path, bytes, hash. */
  readonly files?: readonly (readonly [string, number, string | null])[] | undefined;
}

/** The name of a model's folder, or of a file's: short, and legal everywhere. */
export async function nameFor(text: string): Promise<string> {
  return (await digestOf('SHA-256', new TextEncoder().encode(text))).slice(0, 32);
}

/** Reads what is written down in a folder; undefined for nothing, for damage, and for other versions. */
export async function readRecord<T extends KeptFile | KeptModel>(
  folder: StorageFolder | undefined,
  name: 'file.json' | 'model.json',
): Promise<T | undefined> {
  const handle = folder && (await orAbsent(folder.getFileHandle(name)));
  if (!handle) return undefined;
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(await (await handle.getFile()).arrayBuffer()));
    if ((Object(value) as Partial<T>).version !== VERSION) return undefined;
    const sound = name === 'file.json' ? isSound(value as KeptFile) : typeof (value as KeptModel).label === 'string';
    return sound ? (value as T) : undefined;
  } catch {
    return undefined; // written half, by a tab that was closed
  }
}

/** Whether a record's numbers fit each other: what lies there may have been written by anything. */
function isSound({ size, pieceBytes, pieces, times = [], whole, absent = false }: KeptFile): boolean {
  const isCount = (n: unknown): boolean => Number.isSafeInteger(n) && Number(n) >= 0;
  if (!isCount(pieceBytes) || pieceBytes === 0 || ![pieces, times].every(Array.isArray)) return false;
  if (!pieces.every(piece => typeof piece === 'string') || (size !== undefined && !isCount(size))) return false;
  if (typeof whole !== 'boolean' || typeof absent !== 'boolean') return false;
  return !whole || (size !== undefined && pieces.length === Math.ceil(size / pieceBytes));
}

/** Writes it down. */
export async function writeRecord(folder: StorageFolder, record: KeptFile | KeptModel): Promise<void> {
  const handle = await folder.getFileHandle('label' in record ? 'model.json' : 'file.json', { create: true });
  const writer = await fileWriter(handle);
  try {
    await writer.write(new TextEncoder().encode(JSON.stringify(record)));
  } catch (error) {
    await writer.abort();
    throw error;
  }
  await writer.close();
}

/** Bytes of a piece that is whole. */
export function pieceSize(record: Pick<KeptFile, 'size' | 'pieceBytes'>, n: number): number {
  return Math.max(0, Math.min(record.pieceBytes, (record.size ?? 0) - n * record.pieceBytes));
}
