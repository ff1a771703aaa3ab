;;;
CREATE TABLE t (a int);;
; /* nothing */ ; -- nothing
;INSERT INTO t VALUES (1);;;INSERT INTO t VALUES (2)
;
;;
