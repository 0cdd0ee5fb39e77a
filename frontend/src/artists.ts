/** Entry of the artists page. */
export {};
