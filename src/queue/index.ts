/** `pentimento/queue`: edits that wait in a queue, and workers that make them: BullMQ on Valkey or Redis. @module */
export {};
