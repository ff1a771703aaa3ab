CREATE TABLE t (a int);
INSERT INTO t VALUES (1) -- the last; one
  ;
/* and ; /* a */ 'tail */
-- that's all;