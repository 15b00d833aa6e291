/** Reads spiece.model: a protobuf message with the pieces, how they were trained, and how text is normalised. */
import { InputError } from '../core/errors.ts';

/** What a piece is for; the numbers are those of the file. */
export const PIECE = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

interface Piece {
  readonly text: string;
  /** Log probability, an f32. */
  readonly score: number;
  /** One of {@link PIECE}. */
  readonly type: number;
}

/** The fields that tokenisation depends on. */
export interface SentencePieceModel {
  readonly pieces: readonly Piece[];
  readonly unkId: number;
  /** What an unknown piece is written as. */
  readonly unkSurface: string;
  /** Empty where the model maps no characters. */
  readonly charMap: Uint8Array;
  readonly addDummyPrefix: boolean;
  readonly removeExtraWhitespaces: boolean;
}

const UNIGRAM = 1;

/**
 * Parses a model file.
 * @param bytes the whole file
 * @param path its name, for messages
 * @throws InputError for a file that is damaged, or that holds another kind of model than T5's (unigram, no byte pieces)
 */
export function parseSentencePieceModel(bytes: Uint8Array, path: string): SentencePieceModel {
  const pieces: Piece[] = [];
  let trainer: Field[] = [];
  let normalizer: Field[] = [];
  for (const field of fieldsOf(bytes, path)) {
    if (field.number === 1) pieces.push(pieceOf(fieldsOf(field.bytes, path)));
    if (field.number === 2) trainer = fieldsOf(field.bytes, path);
    if (field.number === 3) normalizer = fieldsOf(field.bytes, path);
  }
  const modelType = numberOf(trainer, 3) ?? UNIGRAM;
  refuse(pieces.length === 0, 'the model has no pieces', path);
  refuse(modelType !== UNIGRAM, `the model is of type ${modelType}, not unigram (${UNIGRAM})`, path);
  refuse(numberOf(trainer, 35) === 1, 'the model falls back to byte pieces', path);
  refuse(numberOf(trainer, 24) === 1, 'the model puts white space after words', path);
  refuse(numberOf(normalizer, 5) === 0, 'the model leaves spaces unescaped', path);
  return {
    pieces,
    unkId: numberOf(trainer, 40) ?? 0,
    unkSurface: textOf(trainer, 44) ?? ' \u2047 ',
    charMap: normalizer.findLast(field => field.number === 2)?.bytes ?? new Uint8Array(0),
    addDummyPrefix: numberOf(normalizer, 3) !== 0,
    removeExtraWhitespaces: numberOf(normalizer, 4) !== 0,
  };
}

/** One field of a message: `bytes` for strings, messages and f32s, `value` for integers. */
interface Field {
  readonly number: number;
  readonly value: number;
  readonly bytes: Uint8Array;
}

const NOTHING = new Uint8Array(0);
const WIRE = { varint: 0, fixed64: 1, lengthDelimited: 2, fixed32: 5 } as const;

function fieldsOf(message: Uint8Array, path: string): Field[] {
  const fields: Field[] = [];
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = message[at++];
      if (byte === undefined) throw damaged(path);
      // Multiplication instead of shifts: lengths and ids may pass bit 31.
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    throw damaged(path);
  };
  const take = (length: number): Uint8Array => {
    if (at + length > message.length) throw damaged(path);
    at += length;
    return message.subarray(at - length, at);
  };
  while (at < message.length) {
    const tag = varint();
    const number = Math.floor(tag / 8);
    const wire = tag % 8;
    if (wire === WIRE.varint) fields.push({ number, value: varint(), bytes: NOTHING });
    else if (wire === WIRE.lengthDelimited) fields.push({ number, value: 0, bytes: take(varint()) });
    else if (wire === WIRE.fixed32) fields.push({ number, value: 0, bytes: take(4) });
    else if (wire === WIRE.fixed64) fields.push({ number, value: 0, bytes: take(8) });
    else throw damaged(path);
  }
  return fields;
}

function pieceOf(fields: readonly Field[]): Piece {
  const score = fields.findLast(field => field.number === 2)?.bytes;
  return {
    text: textOf(fields, 1) ?? '',
    score: score?.length === 4 ? new DataView(score.buffer, score.byteOffset, 4).getFloat32(0, true) : 0,
    type: numberOf(fields, 3) ?? PIECE.normal,
  };
}

function numberOf(fields: readonly Field[], number: number): number | undefined {
  return fields.findLast(field => field.number === number)?.value;
}

function textOf(fields: readonly Field[], number: number): string | undefined {
  const bytes = fields.findLast(field => field.number === number)?.bytes;
  return bytes && new TextDecoder().decode(bytes);
}

function damaged(path: string): InputError {
  return new InputError({
    op: 'T5Tokenizer',
    problem: 'spiece.model is not a SentencePiece model, or breaks off',
    path,
    fix: 'Download the file again.',
  });
}

function refuse(condition: boolean, problem: string, path: string): void {
  if (condition) {
    throw new InputError({ op: 'T5Tokenizer', problem, path, fix: 'Use the spiece.model of a T5 model.' });
  }
}
