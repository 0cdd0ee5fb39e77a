/** Keeps drafts in the browser's own database, for the time when the server cannot be reached. */

const STORE = "drafts";

/** ``version`` is that of the server's draft which this one goes on from. */
export interface LocalDraft { assignment: string; draft: object; version: number; savedAt: number }

export const keepLocally = (draft: LocalDraft): Promise<void> => withStore("readwrite", (store) => store.put(draft)).then(() => undefined);

export const localDraft = (assignment: string): Promise<LocalDraft | undefined> =>
  withStore("readonly", (store) => store.get(assignment) as IDBRequest<LocalDraft | undefined>);

export const forgetLocally = (assignment: string): Promise<void> => withStore("readwrite", (store) => store.delete(assignment)).then(() => undefined);

function withStore<T>(mode: IDBTransactionMode, act: (store: IDBObjectStore) => IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const opening = indexedDB.open("candid8", 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore(STORE, { keyPath: "assignment" });
    opening.onerror = () => reject(opening.error);
    opening.onsuccess = () => {
      const database = opening.result;
      const request = act(database.transaction(STORE, mode).objectStore(STORE));
      request.onsuccess = () => { database.close(); resolve(request.result); };
      request.onerror = () => { database.close(); reject(request.error); };
    };
  });
}
